"""When a classifier looks, at what, and what it finds."""
