#!/usr/bin/env python
"""Run folders to accuracy tables: ``python scripts/tables.py --help``."""

import sys

from hydra_peft.cli.tables import main

if __name__ == "__main__":
    sys.exit(main())
