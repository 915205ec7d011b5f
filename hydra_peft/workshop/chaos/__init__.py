"""Proof that sweeps survive: processes killed at random, results compared with undisturbed ones."""
