"""kmatrix: builds every reachable combination of a kernel's axes, and says truthfully what came out."""

__version__ = "0.1.0"
