"""Adapter modules: what stands in the place of a frozen layer."""
