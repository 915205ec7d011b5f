"""Suites of ``scripts/bench.py``: one module each with ``run``, and the settings of all."""
