#!/usr/bin/env python
"""What ``make demo`` runs."""

from _start import start

if __name__ == "__main__":
    start("demo")
