"""What ``scripts/bench.py`` measures: one module a suite, with ``Settings`` and ``run``."""
