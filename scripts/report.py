#!/usr/bin/env python
"""Run folders to one web page: ``python scripts/report.py --help``."""

import sys

from hydra_peft.cli.report import main

if __name__ == "__main__":
    sys.exit(main())
