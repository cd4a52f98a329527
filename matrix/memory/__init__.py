"""What was built before, found again by all that it depends on: results of cells, and objects."""
