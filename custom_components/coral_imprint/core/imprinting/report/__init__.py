"""What the examples say of the classifier that they teach."""
