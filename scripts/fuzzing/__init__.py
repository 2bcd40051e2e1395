"""Damaged models and pictures, thrown at the code that reads them, in processes that may die of it."""
