"""A plan in shares for several machines, and their runs as one. Pure."""
