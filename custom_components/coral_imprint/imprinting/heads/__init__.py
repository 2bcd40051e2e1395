"""Heads of every kind: what is learned from examples, and how it answers. One kind per file."""
