"""Two runs, before and after, compared: cells, findings, symbols; baselines. Pure."""
