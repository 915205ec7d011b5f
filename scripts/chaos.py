#!/usr/bin/env python
"""Kill a sweep at random moments and compare its results: ``python scripts/chaos.py --help``."""

import sys

from hydra_peft.cli.chaos import main

if __name__ == "__main__":
    sys.exit(main())
