#!/usr/bin/env python
"""Figures of speed: ``python scripts/bench.py --help``."""

from _start import start

if __name__ == "__main__":
    start("bench")
