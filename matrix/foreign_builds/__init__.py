"""Builds that others made, as people keep them: which files there are, and what they hold of the build."""
