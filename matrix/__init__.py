"""kmatrix: builds a Linux tree in every combination of arch, compiler and Kconfig symbols."""

__version__ = "0.1.0"
