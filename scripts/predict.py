#!/usr/bin/env python
"""Say what a trained run sees in images: ``python scripts/predict.py --help``."""

from _start import start

if __name__ == "__main__":
    start("predict")
