"""``scripts/abilities.py``: the matrix of what each method can, written into docs/methods.md."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

from hydra_peft.checkout import ROOT
from hydra_peft.cli.arguments import parse_arguments
from hydra_peft.cli.guard import guarded
from hydra_peft.cli.output_files import check_output
from hydra_peft.errors import UserError
from hydra_peft.files import atomic_write

PAGE = ROOT / "docs" / "methods.md"
USAGE = """\
Try what each method can (merge, bf16, compile, resume, other backbones) on tiny models, print the
matrix, and put it in the place of the one in docs/methods.md. A minute or two.

python scripts/abilities.py [out=<file>]

  out        the page (default: docs/methods.md)"""
#: its first line, and all lines up to an empty one
MATRIX = re.compile(r"^\| `method=` \| adapts \|.*?(?=\n\n|\n?\Z)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Arguments:
    """The script's arguments."""

    out: str = str(PAGE)


def main() -> int:
    """Probe all methods, and write the page."""
    return guarded(_main)


def _main() -> int:
    arguments = parse_arguments(Arguments, sys.argv[1:], USAGE)
    path = Path(arguments.out).expanduser()
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    if not MATRIX.search(text):
        raise UserError(f"{path} has no matrix to replace: give out=<a copy of docs/methods.md>.")
    check_output(path, "out")
    from hydra_peft.workshop.abilities import matrix_lines

    matrix = "\n".join(matrix_lines())
    atomic_write(path, MATRIX.sub(lambda _: matrix, text).encode())
    print(f"{matrix}\n\nwritten: {path}")
    return 0
