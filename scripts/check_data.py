#!/usr/bin/env python
"""Is prepared data what it should be: ``python scripts/check_data.py --help``."""

import sys

from hydra_peft.cli.check_data import main

if __name__ == "__main__":
    sys.exit(main())
