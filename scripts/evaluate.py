#!/usr/bin/env python
"""Score a finished run again: ``python scripts/evaluate.py --help``."""

from _start import start

if __name__ == "__main__":
    start("evaluate")
