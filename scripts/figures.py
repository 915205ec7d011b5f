#!/usr/bin/env python
"""Run folders to figures: ``python scripts/figures.py --help``."""

import sys

from hydra_peft.cli.figures import main

if __name__ == "__main__":
    sys.exit(main())
