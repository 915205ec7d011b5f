"""``scripts/prepare_data.py``: tasks made of original data sets, or out of a prepared archive."""

from __future__ import annotations

import errno
import sys
import textwrap
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hydra_peft.checkout import ROOT, option
from hydra_peft.cli.arguments import parse_arguments
from hydra_peft.cli.guard import complain, guarded
from hydra_peft.cli.prepare_texts import NAME as TEXTS
from hydra_peft.cli.prepare_texts import prepare_texts
from hydra_peft.config.benchmarks import all_benchmarks
from hydra_peft.data.prompts import find_prompts
from hydra_peft.disk_errors import check_writable, remedy
from hydra_peft.errors import UserError, check_one_of, did_you_mean
from hydra_peft.links import missing
from hydra_peft.listed import listed

if TYPE_CHECKING:
    from hydra_peft.workshop.prepare.installing import Outcome
    from hydra_peft.workshop.prepare.originals._base import Original
    from hydra_peft.workshop.prepare.originals._writer import Written
    from hydra_peft.workshop.prepare.spec import TaskSpec

BENCHMARKS = tuple(name for name, one in all_benchmarks().items() if one.prepared)

USAGE = """\
Make tasks of a benchmark from the original data sets, or install a prepared archive.

python scripts/prepare_data.py <benchmark> task=<names> source=<folder> [download=true] [...]
python scripts/prepare_data.py vtab1k archive=<file> [task=<names>] [...]
python scripts/prepare_data.py mini_glue source=<folder>

  benchmark  vtab1k, elevater, or real: Fashion-MNIST and ELPV (docs/real.md); mini_glue, texts from
             WordNet, has a help of its own

  task       one task, several as a,b, or all
  source     folder of the original files; it may have a sub-folder for each task
  archive    a prepared archive (tar, zip): its tasks are checked and put into out
  out        where the tasks' folders go (default: data/<benchmark> in this checkout)
  download   true fetches into source what is missing there and free to fetch
  partial    true accepts other numbers of images; the result is marked as partial
  overwrite  true makes a task again; its earlier folder is kept as <folder>.superseded-N

With several tasks, a failing one is reported and the rest goes on; a task whose folder is there
already is left alone. Exit code 0: all are there; 1: some are not; 2: a mistake."""


@dataclass(frozen=True)
class Arguments:
    """The script's arguments, after the benchmark."""

    task: str = ""
    source: str = ""
    archive: str = ""
    out: str = ""
    download: bool = False
    partial: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Order:
    """Parsed arguments of ``prepare_data.py``."""

    benchmark: str
    tasks: Sequence[TaskSpec]
    out: Path
    source: Path
    download: bool
    partial: bool
    overwrite: bool


#: on these no later task can do better
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_FAILED = ("failed", "refused")


def main() -> int:
    """Prepare or install what the command line says; return the exit code."""
    return guarded(_main, "out")


def _main() -> int:
    benchmark, words = _benchmark(sys.argv[1:])
    if benchmark == TEXTS:
        return prepare_texts(words)
    arguments = parse_arguments(Arguments, words, USAGE)
    try:
        if arguments.archive:
            return _install(benchmark, arguments)
        return _prepare(benchmark, arguments)
    except BrokenPipeError:
        raise  # nobody reads what is printed: no matter of files
    except OSError as error:
        raise UserError(_sentence(error)) from None


def _benchmark(words: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Return the benchmark and the words after it; ask for help passes through."""
    first = words[0] if words else ""
    known = sorted((*BENCHMARKS, TEXTS))
    if first in ("-h", "--help"):
        return "", words
    if not first or "=" in first:
        raise UserError(f"say first which benchmark, one of {', '.join(known)}; see --help.")
    if first not in known:
        raise UserError(
            f"benchmark '{first}' is not prepared from files{did_you_mean(first, known)}: "
            f"only {', '.join(known)} are."
        )
    return first, words[1:]


def _prepare(benchmark: str, arguments: Arguments) -> int:
    if not arguments.source:
        raise UserError("source is missing: give source=<folder of original files>, see --help.")
    source = Path(arguments.source).expanduser()
    order = Order(
        benchmark=benchmark,
        tasks=_chosen(arguments.task, _tasks(benchmark)),
        out=_out(benchmark, arguments),
        source=source,
        download=arguments.download,
        partial=arguments.partial,
        overwrite=arguments.overwrite,
    )
    if not order.download and not source.is_dir():
        raise UserError(_no_source(order))
    _mention_remains(order)
    prepare = _preparer(order)
    if len(order.tasks) == 1:
        prepare(order.tasks[0])
        return 0
    return _report([_outcome(order, task, prepare) for task in order.tasks])


def _no_source(order: Order) -> str:
    """Return that the source is no folder, and what can be done about it for these tasks."""
    known = _originals_of(order.benchmark)
    found = [known[task.name] for task in order.tasks if task.name in known]
    said = f"source={missing(order.source, 'is not a folder')}: put the original files there"
    if any(one.files for one in found):
        said += ", or add download=true"
    # In the order of the tasks, two of which one may be for.
    pages = dict.fromkeys(f"{one.name}, see {one.page}" for one in found if not one.files)
    return f"{said}{'; download=true does not fetch ' * bool(pages)}{'; '.join(pages)}."


def _originals_of(benchmark: str) -> dict[str, Original]:
    """Return the originals of a benchmark's tasks by the tasks' names."""
    return {task: one for one in _originals() for task in one.made(benchmark)}


def _mention_remains(order: Order) -> None:
    """Name the leftovers of killed preparations; another machine may be at work, so none is
    deleted."""
    from hydra_peft.workshop.prepare.originals._source import UNPACKED

    remains = _remains(order.out)
    for place in (UNPACKED, f"*/{UNPACKED}"):
        remains |= set(order.source.glob(f"{place}/.*.partial-*"))
    _mention(remains)


def _remains(out: Path) -> set[Path]:
    """Return the leftovers in ``out`` of tasks and archives that were being written."""
    return {path for pattern in (".*.partial-*", ".*.unpacked-*") for path in out.glob(pattern)}


def _mention(remains: set[Path]) -> None:
    for path in sorted(remains):
        print(f"note: {path} is left of a run that was killed, or another one is at work there")


def _outcome(order: Order, task: TaskSpec, prepare: Callable[[TaskSpec], str]) -> Outcome:
    """Prepare one of several tasks, unless it is there; report a failure at once, and go on."""
    from hydra_peft.workshop.prepare.installing import Outcome

    if (order.out / task.folder).exists() and not order.overwrite:
        return Outcome(task.name, "there already", _partial_remark(order.out / task.folder))
    try:
        return Outcome(task.name, prepare(task))
    except Exception as error:
        if isinstance(error, OSError) and error.errno in (*_FULL, errno.EPIPE):
            raise
        reason = _sentence(error)
        complain(f"{task.name}: {reason}")
        if not isinstance(error, UserError | OSError):
            traceback.print_exc()  # a bug, not a mistake: whoever mends it needs this
        return Outcome(task.name, "failed", reason)


def _partial_remark(folder: Path) -> str:
    from hydra_peft.data.manifests import MANIFEST, read_manifest

    try:
        partial = (folder / MANIFEST).is_file() and read_manifest(folder / MANIFEST).partial
    except UserError as error:
        return str(error)
    return "PARTIAL DATA: overwrite=true makes it again" if partial else ""


def _preparer(order: Order) -> Callable[[TaskSpec], str]:
    """Return a function that prepares a task and returns its status."""
    from hydra_peft.workshop.prepare.originals._prepare import fetch
    from hydra_peft.workshop.prepare.originals._writer import check_absent

    originals = _originals_of(order.benchmark)
    fetched = set()

    def act(task: TaskSpec) -> str:
        if task.name not in originals:
            raise UserError(f"no original is known of task {task.name}: only an archive helps.")
        check_absent(order.out / task.folder, overwrite=order.overwrite)
        original = originals[task.name]
        folder = _folder(order, task, original)
        # Two tasks of one original need it once.
        if order.download and (original.name, folder) not in fetched:
            fetch(original, task.name, folder)
            fetched.add((original.name, folder))
        written = _write(order, task, original, folder)
        counts = ", ".join(f"{split} {count:,}" for split, count in written.counts.items())
        partial = ", PARTIAL DATA" if written.partial else ""
        print(f"{task.name}: {counts} images{partial}\n    {written.folder}", flush=True)
        if written.superseded is not None:
            print(f"    the earlier one is {written.superseded}; delete it if you do not need it")
        return f"prepared{partial}"

    return act


def _write(order: Order, task: TaskSpec, original: Original, folder: Path) -> Written:
    from hydra_peft.workshop.prepare.originals._prepare import prepare

    try:
        return prepare(
            original,
            folder,
            order.out,
            task,
            partial=order.partial,
            overwrite=order.overwrite,
            say=lambda sentence: print(sentence, flush=True),
        )
    except UserError as error:
        if order.download and not original.files:
            raise UserError(f"download=true does not fetch this one: {error}") from None
        raise


def _folder(order: Order, task: TaskSpec, original: Original) -> Path:
    """Return the folder that holds the original's files, or that they are downloaded to."""
    from hydra_peft.workshop.prepare.originals._prepare import open_source, own_name, source_folder

    names = [task.name, task.folder, *task.aliases]
    folder = source_folder(order.source, original, names)
    if not order.download or len(order.tasks) == 1 or folder != order.source:
        return folder
    if folder.is_dir():
        source = open_source(original, folder)
        if any(source.find(remote.name) for remote in original.files):
            return folder
    # Files of many originals: each has its own place.
    return folder / own_name(original) if original.files else folder


def _install(benchmark: str, arguments: Arguments) -> int:
    if benchmark == "elevater":
        raise UserError(
            "archive= is for VTAB-1k, of which the field has prepared archives: for elevater give "
            "source=<folder of the original files>."
        )
    for key in ("source", "download", "overwrite"):
        if getattr(arguments, key):
            raise UserError(f"{key}= does not go with archive=: an archive is complete in itself.")
    from hydra_peft.workshop.prepare.archives import check_archive
    from hydra_peft.workshop.prepare.installing import install

    archive, out = Path(arguments.archive).expanduser(), _out(benchmark, arguments)
    _mention(_remains(out))
    check_archive(archive)
    expected = _chosen(arguments.task or "all", _tasks(benchmark))
    outcomes = install(archive, out, expected, partial=arguments.partial)
    named = arguments.task not in ("", "all")
    code = _report(outcomes, needed=named)
    there = sum(outcome.status in ("installed", "there already") for outcome in outcomes)
    print(f"\n{there} of {len(outcomes)} tasks are in {out}")
    return code


def _report(outcomes: Sequence[Outcome], *, needed: bool = False) -> int:
    """Print the table; return 1 if a task failed, or was ``needed`` and not there."""
    from tabulate import tabulate

    rows = [(outcome.task, outcome.status, _wrapped(outcome.remark)) for outcome in outcomes]
    print("\n" + tabulate(rows, ("task", "status", "what is missing"), "simple"), flush=True)
    bad = (*_FAILED, "not in the archive") if needed else _FAILED
    return int(any(outcome.status in bad for outcome in outcomes))


def _wrapped(text: str) -> str:
    # Paths and addresses stay whole, to be copied.
    return textwrap.fill(text, 90, break_long_words=False, break_on_hyphens=False)


def _chosen(named: str, tasks: Mapping[str, TaskSpec]) -> list[TaskSpec]:
    """Return the tasks that ``named`` lists by name, folder or alias, in the order of tables."""
    if not named:
        raise UserError(f"task is missing: give task=all, or one or more of {', '.join(tasks)}")
    if named == "all":
        return list(tasks.values())
    names = {task.folder: task.name for task in tasks.values()}
    names |= {alias: task.name for task in tasks.values() for alias in task.aliases}
    names |= {name: name for name in tasks}
    wanted = set()
    for word in listed("task", named, names):
        check_one_of("task", word, names, "choose all, or some of")
        wanted.add(names[word])
    return [task for name, task in tasks.items() if name in wanted]


def _out(benchmark: str, arguments: Arguments) -> Path:
    out = Path(arguments.out).expanduser() if arguments.out else ROOT / "data" / benchmark
    check_writable(out, "out")
    return out


def _sentence(error: Exception) -> str:
    if not isinstance(error, OSError):
        return str(error) or type(error).__name__
    where = f" at {error.filename}" if error.filename else ""
    advice = remedy(error, "choose other folders by source= and out=")
    return f"cannot read or write{where}: {error.strerror or error}; {advice}."


def _tasks(benchmark: str) -> Mapping[str, TaskSpec]:
    """Return the tasks of ``benchmark`` as their yaml files have them; composing nothing is
    quick."""
    from hydra_peft.cli.tasks import task_options

    return {name: _spec(benchmark, place) for name, place in task_options(benchmark).items()}


def _spec(benchmark: str, place: str) -> TaskSpec:
    from hydra_peft.workshop.prepare.spec import TaskSpec

    yaml = option("dataset", place)
    prompts = find_prompts(benchmark, yaml["name"])
    return TaskSpec(
        benchmark,
        yaml["name"],
        yaml["folder"],
        yaml["aliases"],
        yaml["classes"],
        yaml["sizes"],
        prompts.keys if prompts is not None else (),
    )


def _originals() -> list[Original]:
    from hydra_peft.workshop.prepare.originals import originals

    return originals()
