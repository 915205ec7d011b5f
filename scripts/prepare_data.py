#!/usr/bin/env python
"""Original data sets or an archive to tasks: ``python scripts/prepare_data.py --help``."""

from _start import start

if __name__ == "__main__":
    start("prepare_data")
