"""``scripts/prepare_data.py mini_glue``: the benchmark's files again, from WordNet's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra_peft.cli.arguments import parse_arguments
from hydra_peft.cli.output_files import check_output
from hydra_peft.data.sources.mini_glue import FOLDER
from hydra_peft.errors import UserError
from hydra_peft.plain_text import counted

NAME = "mini_glue"

USAGE = f"""\
Make the files of benchmark mini_glue from WordNet 3.0. They come with the repository; this repeats
them to the byte.

python scripts/prepare_data.py mini_glue source=<folder> [out=<folder>]

  source     folder of WordNet's files (data.noun, ...), as Debian's package wordnet-base has them
             in /usr/share/wordnet; their hashes are checked
  out        where the tasks' folders go (default: {NAME} in the package's assets)"""


@dataclass(frozen=True)
class Arguments:
    """The arguments after the benchmark."""

    source: str = ""
    out: str = ""


def prepare_texts(words: Sequence[str]) -> int:
    """Make all tasks and print their sizes; return 0.

    Raises:
        UserError: a mistake in ``words``, or files that are not WordNet 3.0's.
        OSError: the folder cannot be written.
    """
    arguments = parse_arguments(Arguments, words, USAGE)
    if not arguments.source:
        raise UserError("source is missing: give source=<folder of WordNet's files>, see --help.")
    from hydra_peft.workshop.wordnet.making import LICENCE, make
    from hydra_peft.workshop.wordnet.synsets import read_licence, read_synsets

    source = Path(arguments.source).expanduser()
    out = Path(arguments.out).expanduser() if arguments.out else FOLDER
    check_output(out / LICENCE, "out", inputs=[source])
    synsets = read_synsets(source)
    for file, count in make(synsets, read_licence(source), out).items():
        print(f"{file}.tsv: {counted(count, 'example')}")
    print(f"written: {out}")
    return 0
