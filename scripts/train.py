#!/usr/bin/env python
"""Train and score adapters: ``python scripts/train.py --help``."""

import sys

from hydra_peft.cli.train import main

if __name__ == "__main__":
    sys.exit(main())
