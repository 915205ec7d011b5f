#!/usr/bin/env python
"""What ``make demo`` runs."""

import sys

from hydra_peft.cli.demo import main

if __name__ == "__main__":
    sys.exit(main())
