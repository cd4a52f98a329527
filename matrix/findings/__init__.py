"""From diagnostics to findings: one problem across cells and compilers, its condition, proof and scope. Pure."""
