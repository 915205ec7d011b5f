#!/usr/bin/env python
"""Run folders to one web page: ``python scripts/report.py --help``."""

from _start import start

if __name__ == "__main__":
    start("report")
