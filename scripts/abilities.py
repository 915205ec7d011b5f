#!/usr/bin/env python
"""What each method can, tried: ``python scripts/abilities.py --help``."""

from _start import start

if __name__ == "__main__":
    start("abilities")
