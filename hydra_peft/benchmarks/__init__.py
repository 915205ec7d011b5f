"""What ``scripts/bench.py`` measures: one module a suite, each offers ``run(device, settings, report)``."""
