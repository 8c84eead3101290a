"""Configurations: found, read, merged, checked for misspelt names, and made into objects."""
