#!/usr/bin/env python
"""What is done, running, failed and waiting: ``python scripts/status.py --help``."""

import sys

from hydra_peft.cli.status import main

if __name__ == "__main__":
    sys.exit(main())
