"""Patches as they come in mail: a file, a mailbox, a directory, a series."""
