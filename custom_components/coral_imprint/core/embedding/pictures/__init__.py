"""A camera's bytes, checked and decoded, cut into views, described and judged."""
