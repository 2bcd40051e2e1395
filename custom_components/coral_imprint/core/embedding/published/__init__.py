"""The published extractors: what there is, and fetching it."""
