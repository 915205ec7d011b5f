"""``scripts/pretrain_mini.py``: how the weights of the embedded backbones are made."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from hydra_peft.checkout import ROOT
from hydra_peft.cli.guard import guarded
from hydra_peft.errors import UserError
from hydra_peft.workshop.pretraining.options import PretrainOptions
from hydra_peft.workshop.pretraining_text.options import TextOptions

DESCRIPTION = """\
Pretrain the embedded backbone vit_mini on its source task and write the weights file. With the
default settings this takes a quarter of an hour to half an hour on two CPU cores.
pretrain_mini.py text --help is about the text encoder roberta_mini."""
TEXT_DESCRIPTION = """\
Pretrain the text encoder roberta_mini by masked language modelling on WordNet's glosses and
examples, on one thread, and write a folder in Hugging Face form."""
OUTPUT = Path(__file__).resolve().parent.parent / "assets" / "vit_mini.safetensors"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}: see python scripts/pretrain_mini.py --help.")


def main() -> int:
    """Run the pretraining and print the final accuracy on fresh examples; return 0."""
    return guarded(_main)


def parse_options(arguments: Sequence[str]) -> PretrainOptions:
    """Return the options of a run from the words of the command line.

    Raises:
        UserError: they are wrong.
    """
    parser = _Parser(prog="python scripts/pretrain_mini.py", description=DESCRIPTION)
    defaults = PretrainOptions
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--steps", type=int, default=defaults.steps)
    parser.add_argument("--batch-size", type=int, default=defaults.batch_size)
    parser.add_argument("--learning-rate", type=float, default=defaults.learning_rate)
    parser.add_argument("--warmup-steps", type=int, default=defaults.warmup_steps)
    parser.add_argument(
        "--ramp",
        type=float,
        default=defaults.ramp,
        help="share of the steps over which scenes grow to their full difficulty",
    )
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--threads", type=int, default=defaults.threads)
    parser.add_argument("--report-every", type=int, default=defaults.report_every)
    parser.add_argument(
        "--save-every",
        type=int,
        default=defaults.save_every,
        help="also write the file every so many steps (0: only at the end)",
    )
    given = parser.parse_args(arguments)
    try:
        return PretrainOptions(**vars(given))
    except ValueError as error:
        parser.error(str(error))


def parse_text_options(arguments: Sequence[str]) -> TextOptions:
    """Return the options of a run on texts, from the words after ``text``.

    Raises:
        UserError: they are wrong.
    """
    parser = _Parser(prog="python scripts/pretrain_mini.py text", description=TEXT_DESCRIPTION)
    defaults = TextOptions
    parser.add_argument(
        "--source",
        type=Path,
        default=Path("/usr/share/wordnet"),
        help="folder of WordNet's files, of Debian's package wordnet-base",
    )
    parser.add_argument("--output", type=Path, default=ROOT / "data" / "weights" / "roberta_mini")
    parser.add_argument("--epochs", type=int, default=defaults.epochs)
    parser.add_argument("--batch-size", type=int, default=defaults.batch_size)
    parser.add_argument("--learning-rate", type=float, default=defaults.learning_rate)
    parser.add_argument("--seed", type=int, default=defaults.seed)
    parser.add_argument("--report-every", type=int, default=defaults.report_every)
    given = parser.parse_args(arguments)
    try:
        return TextOptions(**vars(given))
    except ValueError as error:
        parser.error(str(error))


def _main() -> int:
    if sys.argv[1:2] == ["text"]:
        return _pretrain_text(parse_text_options(sys.argv[2:]))
    options = parse_options(sys.argv[1:])
    from hydra_peft.workshop.pretraining.train import pretrain

    started = time.perf_counter()
    result = pretrain(options, lambda line: print(line, flush=True))
    print(
        f"source accuracy {result.identity:.4f} (main object), {result.pattern:.4f} (pattern);"
        f" {time.perf_counter() - started:.0f} s; wrote {options.output}"
    )
    return 0


def _pretrain_text(options: TextOptions) -> int:
    from hydra_peft.workshop.pretraining_text.train import pretrain
    from hydra_peft.workshop.wordnet.synsets import read_synsets

    synsets = list(read_synsets(options.source).values())
    started = time.perf_counter()
    result = pretrain(synsets, options, lambda line: print(line, flush=True))
    print(
        f"of hidden tokens {result.accuracy:.4f} are guessed, loss {result.loss:.4f};"
        f" {time.perf_counter() - started:.0f} s; wrote {options.output}"
    )
    return 0
