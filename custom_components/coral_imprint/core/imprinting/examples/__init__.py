"""Examples on disk: what the user filed, and what can be undone of it."""
