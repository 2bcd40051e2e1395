"""Faults on purpose in a whole house: a real Home Assistant, its cameras, its disk and its clock."""
