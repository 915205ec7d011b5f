"""Suites of ``scripts/bench.py``: one module each, with ``Settings`` and ``run``."""
