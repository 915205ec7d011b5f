"""A run: its folder, its record, and the order in which things happen."""
