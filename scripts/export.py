#!/usr/bin/env python
"""Write a trained run in the form of another library: ``python scripts/export.py --help``."""

from _start import start

if __name__ == "__main__":
    start("export")
