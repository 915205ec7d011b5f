"""``scripts/demo.py``: the demo sweep, its table, and where everything is."""

from __future__ import annotations

import sys

from hydra_peft.checkout import RESULTS
from hydra_peft.cli.guard import guarded
from hydra_peft.commands import as_started
from hydra_peft.errors import UserError

USAGE = """\
Train four methods on two embedded tasks, and print their table and where everything is.

python scripts/demo.py     what `make demo` runs after the set-up; runs that are done are skipped

It takes no arguments. The same sweep with other settings:

python scripts/train.py -m +experiment=demo seed=0,1"""
DEMO = RESULTS / "demo"


def main() -> int:
    """Run ``experiment=demo``, print its table; return the sweep's exit code."""
    return guarded(_main)


def _main() -> int:
    for word in sys.argv[1:]:
        if word in ("-h", "--help"):
            print(as_started(USAGE))
            return 0
        raise UserError(
            f"'{word}' is not understood, the demo takes no arguments: for other settings see "
            "python scripts/demo.py --help."
        )
    from hydra_peft.cli import train

    print("Four methods on two embedded tasks; a completed run is not done again.\n", flush=True)
    sys.argv = [sys.argv[0], "-m", "+experiment=demo", "hydra/launcher=local"]
    code = train.main()
    if code:
        return code
    print(flush=True)
    return _show()


def _show() -> int:
    from hydra_peft.cli import tables

    tables.print_tables(DEMO / "runs", DEMO / "tables", "demo")
    print(f"run folders: {DEMO / 'runs'}")
    print(f"curves:      {sys.executable} -m tensorboard.main --logdir {DEMO / 'runs'}")
    return 0
