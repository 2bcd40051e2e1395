"""Classifiers: a config subentry at work, its camera, its examples and what it learns from them."""
