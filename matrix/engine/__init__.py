"""Container engines: what kmatrix needs of one, and Docker."""
