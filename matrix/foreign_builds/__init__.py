"""Builds that others made, as people keep them: which files there are, and what these say of the build."""
