"""``scripts/pretrain_mini.py``: how the weights of the embedded backbones are made."""

from __future__ import annotations

import argparse
import dataclasses
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from hydra_peft.checkout import ROOT
from hydra_peft.cli.guard import guarded
from hydra_peft.errors import UserError
from hydra_peft.workshop.pretraining.options import ClipOptions, Options, PretrainOptions
from hydra_peft.workshop.pretraining_text.options import TextOptions

DESCRIPTION = """\
Pretrain an embedded backbone on its source task and write its weights: vit_mini (a quarter of an
hour to half an hour on two CPU cores), or the two towers of clip_mini (about five minutes on one
core), which start from vit_mini's weights. pretrain_mini.py text --help is about a text encoder."""
TEXT_DESCRIPTION = """\
Pretrain the text encoder roberta_mini by masked language modelling on WordNet's glosses and
examples, on one thread, and write a folder in Hugging Face form."""
ASSETS = Path(__file__).resolve().parent.parent / "assets"
#: what is pretrained: the file of its (image) tower, and its options
MODELS: dict[str, tuple[str, type[Options]]] = {
    "vit": ("vit_mini.safetensors", PretrainOptions),
    "clip": ("clip_mini.safetensors", ClipOptions),
}
#: of options whose name does not say it
HELP = {
    "save_every": "also write the file every so many steps (0: only at the end)",
    "ramp": "of vit: share of the steps over which scenes grow to their full difficulty",
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}: see python scripts/pretrain_mini.py --help.")


def main() -> int:
    """Run a pretraining and print how well it does on fresh source scenes; return 0."""
    return guarded(_main)


def parse_options(arguments: Sequence[str]) -> Options:
    """Return the options of a run from the words of the command line.

    Raises:
        UserError: they are wrong.
    """
    parser = _Parser(
        prog="python scripts/pretrain_mini.py",
        usage="%(prog)s [vit|clip] [options]",
        description=DESCRIPTION,
        argument_default=argparse.SUPPRESS,  # what is left out is the options' own
    )
    parser.add_argument("--output", type=Path, help="the file of the (image) tower")
    for field in dataclasses.fields(PretrainOptions)[1:]:
        flag, kind = f"--{field.name.replace('_', '-')}", type(field.default)
        parser.add_argument(flag, type=kind, help=HELP.get(field.name))
    # A word without a dash after an unknown flag is that flag's, not the model.
    named = [*arguments[:1]] if not "".join(arguments[:1]).startswith("-") else []
    given = vars(parser.parse_args(arguments[len(named) :]))
    model = named[0] if named else "vit"
    if model not in MODELS:
        parser.error(f"{model!r} is no embedded model: choose one of {', '.join(MODELS)}")
    file, options = MODELS[model]
    if "ramp" in given and options is ClipOptions:
        parser.error("--ramp is for vit, whose scenes grow harder")
    try:
        return options(**{"output": ASSETS / file, **given})
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
    started = time.perf_counter()
    told = _pretrained(options, lambda line: print(line, flush=True))
    print(f"{told}; {time.perf_counter() - started:.0f} s; wrote {options.output}")
    return 0


def _pretrained(options: Options, report: Callable[[str], None]) -> str:
    """Train what `options` are of, and return how well it does in words."""
    if isinstance(options, ClipOptions):
        from hydra_peft.workshop.pretraining.clip_train import pretrain_clip

        result = pretrain_clip(options, report)
        return f"own caption nearest {result.retrieval:.4f}"
    from hydra_peft.workshop.pretraining.train import pretrain

    assert isinstance(options, PretrainOptions)
    found = pretrain(options, report)
    return f"source accuracy {found.identity:.4f} (main object), {found.pattern:.4f} (pattern)"


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
