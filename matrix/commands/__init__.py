"""The commands: each joins other packages to what one task of the command line does, and emits events."""
