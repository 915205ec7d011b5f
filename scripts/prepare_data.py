#!/usr/bin/env python
"""Original data sets or an archive to tasks: ``python scripts/prepare_data.py --help``."""

import sys

from hydra_peft.cli.prepare_data import main

if __name__ == "__main__":
    sys.exit(main())
