"""``scripts/report.py``: run folders to one web page that needs no network."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hydra_peft.checkout import CONF, RESULTS, RUNS, option, options
from hydra_peft.cli.arguments import parse_arguments
from hydra_peft.cli.guard import guarded
from hydra_peft.cli.output_files import check_output, check_spares_data
from hydra_peft.cli.tables import config_dirs
from hydra_peft.errors import UserError
from hydra_peft.files import open_regular, real_path

if TYPE_CHECKING:
    from hydra_peft.report.missing import Options
    from hydra_peft.report.pictures import Picture
    from hydra_peft.runs.collection import Collection
    from hydra_peft.tables.overrides import Defaults
    from hydra_peft.tables.side_by_side import SideBySide

#: what a page of ours has among its first bytes, those of older code too
TITLE, _HEAD = "<title>hydra_peft report</title>", 2**13

USAGE = """\
Write one web page on all runs: warnings, summary, tables, figures, and every run to look into.

python scripts/report.py [tasks=<a>,<b>] [methods=<a>,<b>] [runs=<folder>] [out=<file.html>]
                         [config_dir=<folder>]

  tasks       only runs on these tasks, such as tasks=digits,cells (default: all)
  methods     only runs of these methods, such as methods=lora,hydra (default: all)
  runs        where to look for run folders (default: results/runs)
  out         the page; it needs no other file and no network (default: results/report.html)
  config_dir  a folder of your own yaml files that has benchmark/*.yaml, as tables.py takes it"""


@dataclass(frozen=True)
class Arguments:
    """The script's arguments."""

    tasks: str = ""
    methods: str = ""
    runs: str = str(RUNS)
    out: str = str(RESULTS / "report.html")
    config_dir: str = ""


def main() -> int:
    """Write the page and say where it is."""
    return guarded(_main, "out")


def _main() -> int:
    arguments = parse_arguments(Arguments, sys.argv[1:], USAGE)
    runs, out = Path(arguments.runs).expanduser(), Path(arguments.out).expanduser()
    check_output(out, "out", endings=(".html", ".htm"))
    _check_page(out)
    check_spares_data([out], runs)
    only = {"tasks": arguments.tasks, "methods": arguments.methods}
    size, problems = write_report(runs, out, only, config_dirs(arguments.config_dir))
    print(f"written: {out} ({size / 1e6:.1f} MB); open it in a browser.")
    if problems:
        print(f"it begins with {problems} kind{'s' * (problems != 1)} of warning.")
    return 0


def _check_page(out: Path) -> None:
    """Check that a page that is there was written by a report, or is empty.

    Raises:
        UserError: it was not.
    """
    if not os.path.exists(out):
        return
    with open_regular(out, links=True) as file:
        begin = file.read(_HEAD)
    if begin and TITLE.encode() not in begin:
        raise UserError(
            f"out={out} is there, and no report wrote it: name another file, or move that away."
        )


def write_report(
    runs: Path,
    out: Path,
    only: Mapping[str, str] | None = None,
    benchmarks: Sequence[Path] = (),
) -> tuple[int, int]:
    """Write the report on the runs below ``runs`` to ``out``.

    Args:
        runs: where the run folders are.
        out: the page.
        only: as of :func:`~hydra_peft.runs.selection.select`.
        benchmarks: config roots that have benchmarks beside those of ``conf``.

    Returns:
        Its size in bytes, and how many kinds of warnings it begins with.

    Raises:
        UserError: there is no run, or no such task or method.
        OSError: ``out`` cannot be written.
    """
    from hydra_peft.runs.collection import collect
    from hydra_peft.runs.selection import describe_selection, select

    # Before what takes seconds to load: a mistake is told at once.
    collection = collect(runs)
    with collection.naming_unread((only or {}).values()):
        collection = select(collection, only or {})

    from hydra_peft.cli.defaults import default_settings
    from hydra_peft.files import atomic_write
    from hydra_peft.report.build import build_page
    from hydra_peft.report.mistakes import mistakes_of
    from hydra_peft.report.page import render_page
    from hydra_peft.tables.overrides import Origin

    records = collection.records
    defaults = default_settings({Origin.of(record) for record in records}) if records else {}
    collection = dataclasses.replace(collection, defaults=defaults, benchmarks=benchmarks)
    fill = None if real_path(runs) == real_path(RUNS) else real_path(runs)
    sides, notes = _sides(collection, defaults, fill)
    pictures, undrawn = _pictures(collection)
    mistakes = mistakes_of(runs, collection, fill)
    page = build_page(
        runs,
        collection,
        options=_options(),
        sides=sides,
        pictures=pictures,
        notes=[*describe_selection(only or {}), *notes],
        undrawn=undrawn,
        fill=fill,
        mistakes=mistakes,
    )
    content = render_page(page).encode()
    atomic_write(out, content)
    return len(content), len(page.findings)


def _sides(
    collection: Collection, defaults: Defaults, fill: Path | None
) -> tuple[list[SideBySide], list[str]]:
    """Return the paper's tables of the benchmarks that have runs, and what they left out."""
    from hydra_peft.cli.defaults import has_benchmark
    from hydra_peft.tables.paper_tables import score_tables
    from hydra_peft.tables.published import read_published
    from hydra_peft.tables.side_by_side import compare

    sides: list[SideBySide] = []
    notes: list[str] = []
    for number, spec in score_tables(collection.benchmarks).items():
        records = [r for r in collection.records if r.benchmark == spec.benchmark.name]
        if records:
            experiment = CONF / "experiment" / f"{spec.experiment}.yaml"
            found, apart = compare(
                spec,
                read_published(spec.published),
                records,
                defaults=defaults,
                runs=fill,
                trainable=experiment.is_file() and has_benchmark(spec.benchmark.name),
                benchmarks=collection.benchmarks,
            )
            sides += found
            notes += [f"Table {number}: {sentence}" for sentence in apart]
    return sides, notes


def _pictures(collection: Collection) -> tuple[list[Picture], list[str]]:
    """Return the figures that all runs together give, and why the others are not drawn."""
    from hydra_peft.figures import CollectionFigure, all_figures, why_not
    from hydra_peft.report.pictures import draw

    pictures: list[Picture] = []
    undrawn: list[str] = []
    for figure in all_figures():
        if isinstance(figure, CollectionFigure) and not figure.rebuilds:
            try:
                pictures.append(draw(figure, collection))
            # One that fails, for whatever reason, is not the end of the page.
            except Exception as error:
                reason = why_not(error)
                undrawn.append(f"figure {figure.name} is not drawn: {reason}")
    return pictures, undrawn


def _options() -> Options:
    """Return the tasks and models known to the command line, from ``conf``."""
    from hydra_peft.report.missing import Options

    yamls = {name: option("dataset", name) for name in options("dataset")}
    datasets = {(str(y.get("benchmark")), str(y.get("name"))): n for n, y in yamls.items() if y}
    return Options(datasets, frozenset(options("model")))
