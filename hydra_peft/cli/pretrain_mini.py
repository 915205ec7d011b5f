"""``scripts/pretrain_mini.py``: how the weights of the embedded backbone are made."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from hydra_peft.cli.guard import guarded
from hydra_peft.errors import UserError
from hydra_peft.workshop.pretraining.options import PretrainOptions

DESCRIPTION = """\
Pretrain the embedded backbone vit_mini on its source task and write the weights file. With the
default settings this takes a quarter of an hour to half an hour on two CPU cores."""
OUTPUT = Path(__file__).resolve().parent.parent / "assets" / "vit_mini.safetensors"
#: of options whose name does not say it
HELP = {
    "ramp": "share of the steps over which scenes grow to their full difficulty",
    "save_every": "also write the file every so many steps (0: only at the end)",
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}: see python scripts/pretrain_mini.py --help.")


def main() -> int:
    """Run the pretraining and print the final accuracy on fresh source scenes; return 0."""
    return guarded(_main)


def parse_options(arguments: Sequence[str]) -> PretrainOptions:
    """Return the options of a run from the words of the command line.

    Raises:
        UserError: they are wrong.
    """
    parser = _Parser(prog="python scripts/pretrain_mini.py", description=DESCRIPTION)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    for field in dataclasses.fields(PretrainOptions)[1:]:
        flag, kind = f"--{field.name.replace('_', '-')}", type(field.default)
        parser.add_argument(flag, type=kind, default=field.default, help=HELP.get(field.name))
    given = parser.parse_args(arguments)
    try:
        return PretrainOptions(**vars(given))
    except ValueError as error:
        parser.error(str(error))


def _main() -> int:
    options = parse_options(sys.argv[1:])
    from hydra_peft.workshop.pretraining.train import pretrain

    started = time.perf_counter()
    result = pretrain(options, lambda line: print(line, flush=True))
    print(
        f"source accuracy {result.identity:.4f} (main object), {result.pattern:.4f} (pattern);"
        f" {time.perf_counter() - started:.0f} s; wrote {options.output}"
    )
    return 0
