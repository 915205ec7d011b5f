#!/usr/bin/env python
"""Train and score adapters: ``python scripts/train.py --help``."""

from _start import start

if __name__ == "__main__":
    start("train")
