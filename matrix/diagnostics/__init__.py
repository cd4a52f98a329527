"""Build logs, parsed into errors and warnings."""
