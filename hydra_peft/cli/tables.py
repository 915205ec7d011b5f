"""``scripts/tables.py``: run folders to accuracy tables, alone or beside the paper's."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hydra_peft.cli.arguments import parse_arguments
from hydra_peft.cli.guard import guarded
from hydra_peft.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from hydra_peft.runs.record import Record
    from hydra_peft.tables.overrides import Defaults

ROOT = Path(__file__).resolve().parent.parent.parent
PAPER = ROOT / "results" / "paper"
#: where train.py puts run folders
RUNS = ROOT / "results" / "runs"

USAGE = """\
Print accuracy tables of the completed runs; write them as Markdown and CSV, or as LaTeX.

python scripts/tables.py [table=2|5|8] [format=markdown|csv|latex] [protocol=<name>]
                         [runs=<folder>] [out=<folder>] [name=<file name>]

  table     one of the paper's tables, measured beside published; runs may be missing
            (default: all runs, one table for each benchmark and protocol)
  format    markdown prints Markdown and writes .md and .csv; csv and latex print and write
            .csv or .tex alone (default: markdown)
  protocol  only runs of this protocol (default: all, each in its own table)
  runs      where to look for run folders (default: results/runs)
  out       where the files go (default: results/tables)
  name      their name without ending (default: accuracy, or such as table8)"""


@dataclass(frozen=True)
class Arguments:
    """The script's arguments; None is not given."""

    table: str | None = None
    format: str = "markdown"
    protocol: str | None = None
    runs: str = str(RUNS)
    out: str = str(ROOT / "results" / "tables")
    name: str | None = None


def main() -> int:
    """Print the tables and say where they were written."""
    return guarded(_main)


def _main() -> int:
    arguments = parse_arguments(Arguments, sys.argv[1:], USAGE)
    runs, out = Path(arguments.runs).expanduser(), Path(arguments.out).expanduser()
    form, protocol, name = arguments.format, arguments.protocol, arguments.name
    if arguments.table is None:
        print_tables(runs, out, name or "accuracy", form=form, protocol=protocol)
    else:
        print_paper_table(arguments.table, runs, out, name, form=form, protocol=protocol)
    return 0


def print_tables(
    runs: Path, out: Path, name: str, *, form: str = "markdown", protocol: str | None = None
) -> None:
    """Print the tables of the runs below ``runs``; write ``out/name.md`` and ``out/name.csv``.

    Args:
        runs: where the run folders are.
        out: where the files go.
        name: their name without ending.
        form: ``markdown``, or ``csv`` or ``latex`` for that file alone.
        protocol: leave other protocols out.

    Raises:
        UserError: there is no run, or no such format or protocol.
        OSError: the files cannot be written.
    """
    from hydra_peft.runs.collection import collect
    from hydra_peft.tables.render import documents, endings
    from hydra_peft.tables.rows import build_tables

    endings(form)
    collection = collect(runs)
    _check_protocol(protocol, collection.records)
    records = [r for r in collection.records if protocol in (None, r.protocol)]
    if protocol is not None and not records:
        raise UserError(f"{runs} holds no completed run of protocol={protocol}: train one first.")
    tables, apart = build_tables(records, defaults=_defaults(records))
    notes = [*collection.warnings, *apart]
    _publish(documents(tables, notes, form), notes, out / name)


def print_paper_table(
    table: str,
    runs: Path,
    out: Path,
    name: str | None = None,
    *,
    form: str = "markdown",
    protocol: str | None = None,
) -> None:
    """Print the paper's table of that number beside the runs below ``runs``; write the files.

    Unlike :func:`print_tables` this works without any run. ``name`` defaults to such as
    ``table8``; the other arguments are those of :func:`print_tables`.

    Raises:
        UserError: no such table, format or protocol; or the published numbers are missing.
        OSError: the files cannot be written.
    """
    from hydra_peft.runs.collection import collect
    from hydra_peft.tables.paper_tables import paper_table
    from hydra_peft.tables.published import read_published
    from hydra_peft.tables.render import endings
    from hydra_peft.tables.render_side_by_side import documents
    from hydra_peft.tables.side_by_side import compare

    number, spec = paper_table(table)
    endings(form)
    published = read_published(PAPER / spec.csv)
    collection = collect(runs, may_be_empty=True)
    _check_protocol(protocol, collection.records)
    records = [r for r in collection.records if r.benchmark == spec.benchmark.name]
    sides, apart = compare(
        number,
        spec,
        published,
        records,
        protocol=protocol,
        defaults=_defaults(records),
        runs=None if runs.resolve() == RUNS.resolve() else runs.resolve(),
    )
    notes = [*collection.warnings, *apart]
    _publish(documents(sides, notes, form), notes, out / (name or f"table{number}"))


def _check_protocol(protocol: str | None, records: list[Record]) -> None:
    configured = {path.stem for path in (ROOT / "conf" / "protocol").glob("*.yaml")}
    known = sorted(configured | {record.protocol for record in records})
    if protocol is not None and protocol not in known:
        raise UserError(
            f"protocol={protocol} is not known{did_you_mean(protocol, known)}: it must be one of "
            f"{', '.join(known)}."
        )


def _defaults(records: list[Record]) -> Defaults:
    from hydra_peft.cli.defaults import default_settings
    from hydra_peft.tables.overrides import Origin

    return default_settings({Origin.of(record) for record in records}) if records else {}


def _publish(documents: dict[str, str], notes: list[str], path: Path) -> None:
    """Write all documents to ``path`` with their endings, print the first one."""
    from hydra_peft.files import atomic_write

    first, *others = documents
    # Files first: whoever reads the print may leave before its end.
    for ending, text in documents.items():
        atomic_write(path.with_name(f"{path.name}.{ending}"), (text.rstrip() + "\n").encode())
    print(documents[first])
    written = f"\nwritten: {path}.{' and .'.join([first, *others])}"
    # What programs read is printed alone, so that it can be piped; csv has no place for notes.
    if first == "csv" and notes:
        print("\n".join(f"note: {note}" for note in notes), file=sys.stderr)
    print(written, file=sys.stdout if first == "md" else sys.stderr)
