"""Kernel trees: fetched, patched, and kept in the cache."""
