#!/usr/bin/env python
"""Score a finished run again: ``python scripts/evaluate.py --help``."""

import sys

from hydra_peft.cli.evaluate import main

if __name__ == "__main__":
    sys.exit(main())
