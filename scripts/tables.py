#!/usr/bin/env python
"""Run folders to accuracy tables: ``python scripts/tables.py --help``."""

from _start import start

if __name__ == "__main__":
    start("tables")
