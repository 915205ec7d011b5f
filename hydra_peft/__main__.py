"""The command ``hydra-peft``: each of ``scripts/``, by name, wherever the package is installed."""

from __future__ import annotations

import importlib
import os
import sys

from hydra_peft.cli.guard import INTERRUPTED, MISTAKE, complain, guarded
from hydra_peft.commands import COMMANDS, PROGRAM
from hydra_peft.errors import UserError, did_you_mean

USAGE = """\
Reproduce and compare parameter-efficient fine-tuning.

hydra-peft <command> ...

  train     one run or a sweep            hydra-peft train method=lora dataset=mini/digits
  status    what of it is done            tables    tables of runs, beside the paper's
  report    one web page of everything    figures   the paper's figures and others
  evaluate  score a run again             predict   what new images or texts are
  export    to timm, peft, onnx           check     look through prepared data
  prepare   original files to data        weights   public weights out of packages
  bench     measure speed                 demo      four methods on two small tasks

Each explains itself with --help. Runs and tables go to ./results."""


def main() -> int:
    """Run the command that the first word names; return its exit code."""
    word = sys.argv[1] if len(sys.argv) > 1 else "--help"
    name = COMMANDS.get(word, word)
    if name not in COMMANDS.values():
        return guarded(_without_command)
    sys.argv[:2] = [f"{PROGRAM} {word}"]
    try:
        os.getcwd()
    except OSError:
        return _refuse("the folder that you are in is not there any more: change to another (cd).")
    try:
        code: int = importlib.import_module(f"hydra_peft.cli.{name}").main()
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "hydra_peft"):
            raise
        return _refuse(
            f"this needs the package '{package}', which is not installed: "
            "pip install 'hydra-peft[all]'."
        )
    except KeyboardInterrupt:  # before, or after, main minds it itself
        _refuse("interrupted; what was complete before is kept.")
        return INTERRUPTED
    return code


def _without_command() -> int:
    word = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if word not in ("-h", "--help"):
        raise UserError(f"unknown command '{word}'{did_you_mean(word, COMMANDS)}: see --help.")
    print(USAGE)  # noqa: T201
    return 0


def _refuse(sentence: str) -> int:
    complain(sentence)
    return MISTAKE


if __name__ == "__main__":
    sys.exit(main())
