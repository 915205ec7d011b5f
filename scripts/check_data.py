#!/usr/bin/env python
"""Is prepared data what it should be: ``python scripts/check_data.py --help``."""

from _start import start

if __name__ == "__main__":
    start("check_data")
