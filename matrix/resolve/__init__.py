"""What the tree's own conf makes of a request: a verified .config, or why there is none."""
