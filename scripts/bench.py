#!/usr/bin/env python
"""Figures of speed: ``python scripts/bench.py --help``."""

import sys

from hydra_peft.cli.bench import main

if __name__ == "__main__":
    sys.exit(main())
