"""``scripts/tables.py``: run folders to accuracy tables."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from hydra_peft.cli.arguments import parse_arguments
from hydra_peft.cli.guard import guarded

ROOT = Path(__file__).resolve().parent.parent.parent

USAGE = """\
Print accuracy tables of the completed runs; write them as Markdown and CSV.

python scripts/tables.py [runs=<folder>] [out=<folder>] [name=<file name>]

  runs  where to look for run folders (default: results/runs)
  out   where the files go (default: results/tables)
  name  their name without ending (default: accuracy)"""


@dataclass(frozen=True)
class Arguments:
    """The script's arguments."""

    runs: str = str(ROOT / "results" / "runs")
    out: str = str(ROOT / "results" / "tables")
    name: str = "accuracy"


def main() -> int:
    """Print the tables and say where they were written."""
    return guarded(_main)


def _main() -> int:
    arguments = parse_arguments(Arguments, sys.argv[1:], USAGE)
    print_tables(Path(arguments.runs), Path(arguments.out), arguments.name)
    return 0


def print_tables(runs: Path, out: Path, name: str) -> None:
    """Print the tables of the runs below ``runs``; write ``out/name.md`` and ``out/name.csv``.

    Raises:
        UserError: there is no run.
        OSError: the files cannot be written.
    """
    from hydra_peft.files import atomic_write
    from hydra_peft.tables.collect import collect
    from hydra_peft.tables.render import to_frame, to_markdown
    from hydra_peft.tables.rows import build_tables

    collection = collect(runs)
    tables, apart = build_tables(collection.records)
    warnings = [f"> note: {warning}" for warning in (*collection.warnings, *apart)]
    text = "\n".join([*(to_markdown(table) for table in tables), *warnings])
    print(text)
    atomic_write(out / f"{name}.md", (text.rstrip() + "\n").encode())
    atomic_write(out / f"{name}.csv", to_frame(tables).to_csv(index=False).encode())
    print(f"\nwritten: {out / name}.md and .csv")
