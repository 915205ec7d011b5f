"""``scripts/check_data.py``: is prepared data what it should be?"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hydra_peft.checkout import CACHE, RESULTS, ROOT
from hydra_peft.cli.arguments import parse_arguments
from hydra_peft.cli.guard import guarded
from hydra_peft.cli.inspect_data import inspect_data, is_asked_for
from hydra_peft.cli.output_files import check_output
from hydra_peft.config.benchmarks import all_benchmarks
from hydra_peft.data.own_words import own_words
from hydra_peft.errors import UserError, check_one_of
from hydra_peft.files import real_path
from hydra_peft.listed import listed

if TYPE_CHECKING:
    from hydra_peft.config.schema import DatasetConfig
    from hydra_peft.data.checking import TaskReport


USAGE = """\
Check prepared data before anyone trains on it.

python scripts/check_data.py [benchmark=<name>] [task=all] [data=<folder>] [decode=true]
                             [partial=false] [cache=<folder>] [out=<file>]

  benchmark  whose tasks to check: vtab1k, elevater or real (default: vtab1k, or the one that has
             the task)
  task       one task, several with commas, or all (default: all)
  data       the folder of prepared data (default: data)
  decode     false leaves out decoding every image, which takes most of the time
  partial    true takes other numbers of images, and tasks that were prepared from an incomplete
             original, for a note, not for a fault
  cache      where file hashes are kept (default: results/cache)
  out        the report as json (default: results/data_check/<benchmark>.json)

Of images of one's own, by dataset (folder, csv, parquet or hf: docs/data.md):

python scripts/check_data.py dataset=folder dataset.root=<folder> [out=<file>]

prints counts by class and split, sizes, modes, files that cannot be read, copies within splits and
across them, classes with one image; writes the whole report (default:
results/data_check/own-<name>.json) and beside it a contact sheet, a few images of each class.

Exit code 0: all is as it should be; 1: something is missing or wrong; 2: a mistake."""

#: the benchmark that is checked where none is named
_USUAL = "vtab1k"
#: sentences printed for a task; the json has all
_SHOWN = 3


@dataclass(frozen=True)
class Arguments:
    """The script's arguments."""

    benchmark: str = ""
    task: str = "all"
    data: str = str(ROOT / "data")
    decode: bool = True
    partial: bool = False
    cache: str = str(CACHE)
    out: str = ""


def main() -> int:
    """Check, print a table, write the json; return 0 if everything is right, else 1."""
    return guarded(_main, "out")


def _main() -> int:
    help_wanted = any(word in ("-h", "--help") for word in sys.argv[1:])
    if is_asked_for(sys.argv[1:]) and not help_wanted:
        return inspect_data(sys.argv[1:])
    for word in sys.argv[1:]:
        if own := own_words(word):
            raise UserError(f"cannot understand '{word}': {own}.")
    arguments = parse_arguments(Arguments, sys.argv[1:], USAGE)
    if not arguments.benchmark:
        arguments = dataclasses.replace(arguments, benchmark=usual_benchmark(arguments.task))
    out = Path(arguments.out or RESULTS / "data_check" / f"{arguments.benchmark}.json")
    out = out.expanduser()
    check_output(out, "out", inputs=[Path(arguments.data).expanduser()], endings=(".json",))
    from hydra_peft.cli.tasks import benchmark_tasks, task_options

    chosen = choose_tasks(task_options(arguments.benchmark), arguments.task)
    tasks = benchmark_tasks(arguments.benchmark, chosen)
    if texts := [name for name in chosen if tasks[name].source == "glue"]:
        raise UserError(
            f"task '{texts[0]}' of benchmark '{arguments.benchmark}' has texts, which each run "
            "checks before it trains: there is nothing to decode here."
        )
    if made := [name for name in chosen if tasks[name].folder is None]:
        raise UserError(
            f"task '{made[0]}' of benchmark '{arguments.benchmark}' comes with the package: "
            "no prepared data is there to check, choose another benchmark."
        )
    cache = Path(arguments.cache).expanduser()
    reports = [_check(tasks[name], Path(arguments.data), cache, arguments) for name in chosen]
    _print(reports, [tasks[name] for name in chosen])
    _write(reports, arguments, out)
    print(f"\nwritten: {out}")
    return 0 if all(report.status == "ok" for report in reports) else 1


def usual_benchmark(task: str) -> str:
    """Return a benchmark that is prepared from files and has ``task``, VTAB-1k first."""
    prepared = [one for one in all_benchmarks().values() if one.prepared]
    prepared.sort(key=lambda one: one.name != _USUAL)
    known = {name for one in prepared for name in one.tasks}
    having = [one for one in prepared if set(_names(task, known)) <= one.tasks.keys()]
    return (having or prepared)[0].name


def _names(text: str, known: Iterable[str]) -> list[str]:
    return [] if text == "all" else listed("task", text, known)


def choose_tasks(tasks: Mapping[str, object], text: str) -> list[str]:
    """Return the names in ``text``: ``all``, or some separated by commas.

    Raises:
        UserError: a name that is no task; see also :func:`hydra_peft.listed.listed`.
    """
    if text == "all":
        return list(tasks)
    names = _names(text, tasks)
    for name in names:
        check_one_of("task", name, tasks, "choose all, or some of")
    return names


def _check(dataset: DatasetConfig, data: Path, cache: Path, arguments: Arguments) -> TaskReport:
    from hydra_peft.data.checking import check_prepared
    from hydra_peft.data.sources import DataRequest

    request = DataRequest(
        benchmark=dataset.benchmark,
        name=dataset.name,
        folder=dataset.folder,
        aliases=tuple(dataset.aliases),
        classes=dataset.classes,
        root=data.expanduser(),
        cache=cache,
        splits=dataset.stored(),
    )
    return check_prepared(
        request,
        dataset.sizes,
        dataset.splits,
        decode=arguments.decode,
        allow_partial=arguments.partial,
        several=dataset.task().has_classes and not dataset.task().has_hits,
    )


def _print(reports: Sequence[TaskReport], tasks: Sequence[DatasetConfig]) -> None:
    import pandas as pd

    lines = []
    names = dict.fromkeys(name for dataset in tasks for name in dataset.stored())
    for report in reports:
        labels = [label for split in report.splits.values() for label in split.labels]
        line: dict[str, object] = {"task": report.task, "status": report.status}
        for name in names:
            split = report.splits.get(name)
            line[name] = "-" if split is None else f"{split.count:,}"
            if split is not None and split.count != split.expected:
                line[name] = f"{split.count:,} of {split.expected:,}"
        line["labels"] = f"{min(labels)} to {max(labels)}" if labels else "-"
        line["train in test"] = "-" if report.overlap is None else report.overlap
        line["unreadable"] = sum(len(split.unreadable) for split in report.splits.values())
        line["lineage"] = report.lineage or "-"
        line["sha256"] = (report.sha256 or "-")[:12]
        lines.append(line)
    print(pd.DataFrame(lines).to_markdown(index=False, disable_numparse=True))
    for report in reports:
        for sentence in report.problems[:_SHOWN]:
            print(f"{report.task}: {sentence}")
        if len(report.problems) > _SHOWN:
            print(f"{report.task}: {len(report.problems) - _SHOWN} more, see the json.")
        for note in report.notes[:_SHOWN]:
            print(f"{report.task} (note): {note}")


def _write(reports: Sequence[TaskReport], arguments: Arguments, out: Path) -> None:
    from hydra_peft.files import write_json

    content = {
        "benchmark": arguments.benchmark,
        "data": str(real_path(Path(arguments.data))),
        "decoded": arguments.decode,
        "tasks": {r.task: {"status": r.status, **dataclasses.asdict(r)} for r in reports},
    }
    write_json(out, content)
