"""From a profile to requests: the product of the axes, ids, selection. Pure."""
