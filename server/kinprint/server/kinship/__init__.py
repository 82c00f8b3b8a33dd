"""Kinship: how alike models write, and what that says of their descent."""
