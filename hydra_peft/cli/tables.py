"""``scripts/tables.py``: run folders to tables: alone, beside the paper's, against each other."""

from __future__ import annotations

import dataclasses
import functools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hydra_peft.checkout import CONF, PUBLISHED, RESULTS, RUNS, options
from hydra_peft.cli.arguments import parse_arguments
from hydra_peft.cli.guard import guarded
from hydra_peft.cli.output_files import check_name, check_spares_data
from hydra_peft.disk_errors import check_writable
from hydra_peft.errors import UserError, check_one_of
from hydra_peft.files import real_path
from hydra_peft.plain_text import in_short

if TYPE_CHECKING:
    from hydra_peft.config.benchmarks import Benchmark
    from hydra_peft.config.paper_tables import DatasetTable, HyperparameterTable
    from hydra_peft.runs.collection import Collection
    from hydra_peft.runs.record import Record
    from hydra_peft.tables.overrides import Defaults
    from hydra_peft.tables.paper_tables import PaperTable

#: where train.py puts run folders
#: where bench.py puts its figures
TIMINGS = RESULTS / "benchmarks"
#: the paper's table of training time, which is of no benchmark
_TIMES = 4

USAGE = """\
Print tables of the completed runs; write them as Markdown and CSV, as LaTeX, or as HTML.

python scripts/tables.py [table=1..15] [compare=<a>,<b>] [costs=true]
                         [format=markdown|csv|latex|html]
                         [protocol=<name>] [tasks=<a>,<b>] [methods=<a>,<b>] [split=<name>]
                         [runs=<folder>] [out=<folder>] [name=<file name>]
                         [config_dir=<folder>]

  table     one of the paper's tables; runs may be missing
            1, 7, 10 ELEVATER; 2, 5, 8 VTAB-1k; 3, 6, 9 GLUE: measured beside published
            4 training time: what scripts/bench.py table4 found last beside the paper's
            11, 12, 13 hyper-parameters; 14, 15 data sets: what conf has beside the paper's
            (default: all runs, one table for each benchmark and protocol)
  compare   methods or labels of rows with commas between them, or all: 95% intervals over seeds,
            Wilcoxon's signed-rank test over tasks, wins by task
  costs     means beside parameters, training rate, peak memory and the adapter's file, the best
            first, with what the seeds do not tell from it (default: false)
  format    markdown prints Markdown and writes .md and .csv; csv, latex and html print and write
            .csv, .tex or .html alone (default: markdown)
  protocol  only runs of this protocol (default: all, each in its own table)
  tasks     only runs on these tasks, such as tasks=digits,cells: means are over them alone
  methods   only runs of these methods, such as methods=lora,hydra
  split     scores on this split, of the runs that were scored on it: a further one, such as the
            mismatched one of MNLI (default: the split that counts)
  runs      where to look for run folders (default: results/runs)
  out       where the files go (default: results/tables)
  name      their name without ending (default: accuracy, or such as table8, compare, costs)
  config_dir  a folder of your own yaml files, as train.py --config-dir has it: its benchmark/*.yaml
            say in which order tasks come, which means are reported and which tables of a paper
            are theirs"""


@dataclass(frozen=True)
class Arguments:
    """The script's arguments; None is not given."""

    table: str | None = None
    compare: str | None = None
    costs: bool = False
    format: str = "markdown"
    protocol: str | None = None
    tasks: str = ""
    methods: str = ""
    split: str = ""
    runs: str = str(RUNS)
    out: str = str(RESULTS / "tables")
    name: str | None = None
    config_dir: str = ""


def main() -> int:
    """Print the tables and say where they were written."""
    return guarded(_main, "out")


def _main() -> int:
    words = sys.argv[1:]
    arguments = parse_arguments(Arguments, words, USAGE)
    runs, out = Path(arguments.runs).expanduser(), Path(arguments.out).expanduser()
    check_writable(out, "out")
    check_name(arguments.name, out)
    form, protocol, name = arguments.format, arguments.protocol, arguments.name
    configs = config_dirs(arguments.config_dir)
    if arguments.costs and (
        other := next((k for k in ("table", "compare") if getattr(arguments, k)), "")
    ):
        raise UserError(f"costs=true and {other}= do not go together: give one of them.")
    if arguments.table is None:
        usual = "accuracy" if arguments.compare is None else "compare"
        name = name or ("costs" if arguments.costs else usual)
        only = {"tasks": arguments.tasks, "methods": arguments.methods}
        print_tables(
            runs,
            out,
            name,
            form=form,
            protocol=protocol,
            compare=arguments.compare,
            with_costs=arguments.costs,
            only=only,
            configs=configs,
            split=arguments.split,
        )
    elif arguments.compare is not None:
        raise UserError("table= and compare= do not go together: give one of them.")
    elif key := next((k for k in ("tasks", "methods", "split") if getattr(arguments, k)), ""):
        raise UserError(
            f"table= and {key}= do not go together: the paper's tables are shown whole; leave out "
            "table= for a table of some runs."
        )
    else:
        typed = [key for key in ("runs", "protocol") if any(w.startswith(f"{key}=") for w in words)]
        print_paper_table(
            arguments.table,
            runs,
            out,
            name,
            form=form,
            protocol=protocol,
            configs=configs,
            typed=typed,
        )
    return 0


def print_tables(
    runs: Path,
    out: Path,
    name: str,
    *,
    form: str = "markdown",
    protocol: str | None = None,
    compare: str | None = None,
    with_costs: bool = False,
    only: Mapping[str, str] | None = None,
    configs: Sequence[Path] = (),
    split: str = "",
) -> None:
    """Print the tables of the runs below ``runs``; write ``out/name.md`` and ``out/name.csv``.

    Args:
        runs: where the run folders are.
        out: where the files go.
        name: their name without ending.
        form: ``markdown``, or ``csv``, ``latex`` or ``html`` for that file alone.
        protocol: leave other protocols out.
        compare: put these rows against each other instead (:mod:`~hydra_peft.tables.significance`).
        with_costs: print what rows cost instead (:mod:`~hydra_peft.tables.costs`).
        only: as of :func:`~hydra_peft.runs.selection.select`.
        configs: folders of yaml files that have benchmarks beside those of ``conf``.
        split: show the scores on it; empty takes the split that counts.

    Raises:
        UserError: no run has completed, or there is no such format, protocol, task, method, row or
            split.
        OSError: the files cannot be written.
    """
    from hydra_peft.runs.collection import collect
    from hydra_peft.runs.selection import describe_selection
    from hydra_peft.tables import costs, render, significance
    from hydra_peft.tables.formats import endings
    from hydra_peft.tables.grouping import build_tables
    from hydra_peft.tables.leaving_out import leaving_out

    check_spares_data((out / f"{name}.{ending}" for ending in endings(form)), runs)
    collection = collect(runs)
    if not collection.completed:
        found = "; ".join(warning.removesuffix(".") for warning in collection.warnings)
        raise UserError(
            f"no run below {runs} has completed ({found}): train one, or see what each of them "
            f"needs with python scripts/status.py runs={runs}."
        )
    wanted = {"protocol": protocol or "", **(only or {})}
    with collection.naming_unread([*wanted.values(), compare or ""]):
        chosen = _chosen(collection, runs, wanted, split)
        records = chosen.records
        tables, apart = build_tables(records, defaults=_defaults(records), benchmarks=configs)
        notes = [*describe_selection(only or {}), *chosen.warnings, *apart]
        if with_costs:
            sizes = {id(run.record): run.adapter_size for run in chosen.completed}
            documents = costs.documents(tables, sizes, notes, form)
        elif compare is None:
            documents = render.documents(tables, notes, form)
        else:
            usual = _defaults(collection.records)
            everything = dataclasses.replace(collection, defaults=usual, benchmarks=configs)
            out_by = functools.partial(leaving_out, everything, wanted)
            documents = significance.documents(tables, compare, notes, form, out_by)
    _publish(documents, notes, out / name)


def _chosen(
    collection: Collection, runs: Path, wanted: Mapping[str, str], split: str
) -> Collection:
    """Return the runs of ``collection``, which are below ``runs``, that are asked for."""
    from hydra_peft.runs.selection import select, shown_on

    chosen = select(collection, wanted)
    if not chosen.records:
        raise UserError(f"none of the chosen runs below {runs} has completed: train one first.")
    return shown_on(chosen, split, wanted) if split else chosen


def config_dirs(folder: str) -> list[Path]:
    """Return the config roots that ``config_dir=`` names beside ``conf``; none where it is empty.

    Raises:
        UserError: it is no folder.
    """
    if not folder:
        return []
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise UserError(f"config_dir={folder} is no folder: give one of your own yaml files.")
    return [path]


def print_paper_table(
    table: str,
    runs: Path,
    out: Path,
    name: str | None = None,
    *,
    form: str = "markdown",
    protocol: str | None = None,
    configs: Sequence[Path] = (),
    typed: Sequence[str] = (),
) -> None:
    """Print the paper's table of that number beside what there is of ours; write the files.

    Unlike :func:`print_tables` this works without any run. ``name`` defaults to such as
    ``table8``; keys ``typed`` by the user that this table does not go by are told; the other
    arguments are those of :func:`print_tables`.

    Raises:
        UserError: no such table, format or protocol; or the published numbers are missing.
        OSError: the files cannot be written.
    """
    from hydra_peft.config.paper_tables import HyperparameterTable
    from hydra_peft.tables.formats import endings
    from hydra_peft.tables.paper_tables import PaperTable, paper_tables

    tables = paper_tables(configs)
    known = {str(number): number for number in sorted({*tables, _TIMES})}
    if table not in known:
        raise UserError(f"table={table} is not known: it must be one of {', '.join(known)}.")
    name = name or f"table{table}"
    check_spares_data((out / f"{name}.{ending}" for ending in endings(form)), runs)
    number, notes, goes_by = known[table], list[str](), list[str]()
    if number not in tables:
        documents, notes = _training_time(form)
    else:
        benchmark, spec = tables[number]
        if isinstance(spec, PaperTable):
            goes_by = ["runs", "protocol"]
            documents, notes = _scores(spec, runs, form, protocol, configs)
        elif isinstance(spec, HyperparameterTable):
            goes_by = ["protocol"]
            documents = _hyperparameters(number, benchmark, spec, form, protocol)
        else:
            documents = _datasets(number, benchmark, spec, form)
    for key in (key for key in typed if key not in goes_by):
        print(f"note: table {table} does not go by {key}=, which changes nothing.", file=sys.stderr)
    _publish(documents, notes, out / name)


def _scores(
    spec: PaperTable, runs: Path, form: str, protocol: str | None, configs: Sequence[Path]
) -> tuple[dict[str, str], list[str]]:
    from hydra_peft.cli.defaults import has_benchmark
    from hydra_peft.runs.collection import collect
    from hydra_peft.tables.published import read_published
    from hydra_peft.tables.render_side_by_side import documents
    from hydra_peft.tables.side_by_side import compare

    collection = collect(runs, may_be_empty=True)
    with collection.naming_unread():
        _check_protocol(protocol, collection.records)
    collection = collection.only(lambda record: record.benchmark == spec.benchmark.name)
    records = collection.records
    experiment = CONF / "experiment" / f"{spec.experiment}.yaml"
    sides, apart = compare(
        spec,
        read_published(spec.published),
        records,
        protocol=protocol,
        defaults=_defaults(records),
        runs=None if real_path(runs) == real_path(RUNS) else real_path(runs),
        trainable=experiment.is_file() and has_benchmark(spec.benchmark.name),
        benchmarks=configs,
    )
    notes = [*collection.warnings, *apart]
    return documents(sides, notes, form), notes


def _hyperparameters(
    number: int,
    benchmark: Benchmark,
    spec: HyperparameterTable,
    form: str,
    protocol: str | None,
) -> dict[str, str]:
    from hydra_peft.cli.defaults import default_hyperparameters
    from hydra_peft.tables.hyperparameters import documents
    from hydra_peft.tables.overrides import usual_search
    from hydra_peft.tables.published import read_published

    published = read_published(PUBLISHED / spec.csv)
    _check_protocol(protocol, [])
    # What a search chooses is no default.
    given = (p for p in benchmark.protocols if usual_search(benchmark.name, p) is None)
    protocol, method = protocol or next(given, benchmark.protocols[0]), "hydra"
    found = default_hyperparameters(benchmark.name, protocol=protocol, method=method)
    where = f"protocol {protocol}, method {method}"
    return documents(number, benchmark, spec, published, found, where, form)


def _datasets(number: int, benchmark: Benchmark, spec: DatasetTable, form: str) -> dict[str, str]:
    from hydra_peft.cli.defaults import expected_sizes
    from hydra_peft.tables.datasets import documents
    from hydra_peft.tables.published import read_published

    published = read_published(PUBLISHED / spec.csv)
    return documents(number, benchmark, spec, published, expected_sizes(benchmark.name), form)


def _training_time(form: str) -> tuple[dict[str, str], list[str]]:
    from hydra_peft.tables.published import read_published
    from hydra_peft.tables.training_time import CSV, documents, newest_timing

    published = read_published(PUBLISHED / CSV)
    timing, notes = newest_timing(TIMINGS)
    return documents(published, timing, notes, form), notes


def _check_protocol(protocol: str | None, records: list[Record]) -> None:
    known = sorted({*options("protocol")} | {record.protocol for record in records})
    if protocol is not None:
        check_one_of("protocol", protocol, known)


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
    # What programs read is printed alone, so that it can be piped; csv has no place for notes, and
    # those of tex are comments.
    if first in ("csv", "tex") and notes:
        print("\n".join(f"note: {in_short(note)}" for note in notes), file=sys.stderr)
    print(written, file=sys.stdout if first == "md" else sys.stderr)
