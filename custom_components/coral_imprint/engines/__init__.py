"""Engines: a config entry at work, where its extractor comes from and what executes it."""
