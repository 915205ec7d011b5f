"""What ``scripts/bench.py`` measures: one module a suite, each offers ``run(...) -> Report``."""
