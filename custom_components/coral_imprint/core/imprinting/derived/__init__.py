"""What is made from the examples and kept beside them: embeddings, heads, known classes."""
