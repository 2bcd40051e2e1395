"""Which extractors there are, how they come, and the embedders that they make."""
