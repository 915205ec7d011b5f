"""``scripts/demo.py``: the demo sweep, its table, and where everything is."""

from __future__ import annotations

import sys
from pathlib import Path

from hydra_peft.cli import tables, train
from hydra_peft.cli.guard import guarded

DEMO = Path(__file__).resolve().parent.parent.parent / "results" / "demo"


def main() -> int:
    """Run ``experiment=demo``, print its table; return the sweep's exit code."""
    return guarded(_main)


def _main() -> int:
    print("Four methods on two embedded tasks; a completed run is not done again.\n", flush=True)
    sys.argv = [sys.argv[0], "-m", "+experiment=demo"]
    code = train.main()
    if code:
        return code
    print(flush=True)
    return _show()


def _show() -> int:
    tables.print_tables(DEMO / "runs", DEMO / "tables", "demo")
    print(f"run folders: {DEMO / 'runs'}")
    print(f"curves:      {sys.executable} -m tensorboard.main --logdir {DEMO / 'runs'}")
    return 0
