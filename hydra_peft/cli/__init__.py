"""Commands: one module for each script; Hydra is imported here only."""
