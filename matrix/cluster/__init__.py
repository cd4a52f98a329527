"""Many machines: which of them builds what, and how they are reached."""
