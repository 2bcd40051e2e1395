"""A classifier as a file: the head appended to its network, and what such files and networks know."""
