#!/usr/bin/env python
"""Kill a sweep at random moments and compare its results: ``python scripts/chaos.py --help``."""

from _start import start

if __name__ == "__main__":
    start("chaos")
