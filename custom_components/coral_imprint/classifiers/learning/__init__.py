"""What a classifier learns from its examples, and what it keeps of that."""
