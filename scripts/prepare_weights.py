#!/usr/bin/env python
"""Public weights as a file that a model finds: ``python scripts/prepare_weights.py --help``."""

from _start import start

if __name__ == "__main__":
    start("prepare_weights")
