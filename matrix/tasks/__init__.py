"""The tasks: each calls a command, shows what it emits, and exits with its code. A module for a group."""
