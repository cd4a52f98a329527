"""Kconfig as values: symbols, fragments, .config files, definitions. Pure."""
