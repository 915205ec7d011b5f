#!/usr/bin/env python
"""Run folders to figures: ``python scripts/figures.py --help``."""

from _start import start

if __name__ == "__main__":
    start("figures")
