"""From diagnostics to findings: one problem across cells and compilers, its condition and proof. Pure."""
