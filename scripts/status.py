#!/usr/bin/env python
"""What is done, running, failed and waiting: ``python scripts/status.py --help``."""

from _start import start

if __name__ == "__main__":
    start("status")
