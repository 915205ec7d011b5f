#!/usr/bin/env python
"""Pretrain the embedded backbones: ``python scripts/pretrain_mini.py --help``."""

from _start import start

if __name__ == "__main__":
    start("pretrain_mini")
