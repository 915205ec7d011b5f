"""Sheets: the runs that may stand in one picture, what they are called and how they are drawn.

A sheet is one :class:`~hydra_peft.tables.parts.Part` of a table (one benchmark, protocol, splits,
selection rule; one backbone with one set of weights on the same extent of data). A picture shows
one sheet: within it everything but methods and their settings is the same.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra_peft.errors import UserError
from hydra_peft.figures._captions import drawable
from hydra_peft.figures._looks import looks
from hydra_peft.plain_text import in_a_row, shortened
from hydra_peft.runs.collection import Collection
from hydra_peft.runs.selection import NAMES, select
from hydra_peft.tables.complete import complete, shared_block
from hydra_peft.tables.labels import PARTIAL, RANDOM

if TYPE_CHECKING:
    from hydra_peft.tables.parts import Part
    from hydra_peft.tables.rows import Row, Table


#: so many tasks are named in a caption, and so many names in a sentence
_FEW, _FEW_NAMES = 7, 4
#: characters of a label; a legend of any length takes any time
_LONGEST = 400
#: more than any rank
_NO_RANK = 10**6
_RANKS = ("method.rank", "method.rank_parallel", "method.rank_sequential")


@dataclass(frozen=True)
class Selection:
    """Settings of every figure of all runs; empty and 0 are not given."""

    benchmark: str = ""
    protocol: str = ""
    tasks: str = ""
    methods: str = ""
    sheet: int = 0


OPTIONS = (
    "benchmark=mini protocol=clean tasks=digits,cells methods=lora,hydra  only these runs",
    "sheet=2            where runs differ in what is never compared: which (default: most runs)",
)


@dataclass(frozen=True)
class Sheet:
    """Content of one picture of a sheet.

    Attributes:
        part: the rows that may stand in it, their tasks, what they share and are called.
        folders: of each run, by ``id`` of its record.
        notes: what else there is, what was kept apart, what is to be known of the data.
        others: the rows of the other sheets, by their numbers.
        looks: how each row is drawn, by its ``id``.
        gone: names of what was taken out of it, by reason.
        runs: what its runs are called there, where they have to be told from others.
    """

    part: Part
    folders: dict[int, Path]
    notes: tuple[str, ...] = ()
    others: Mapping[int, Part] = field(default_factory=dict)
    looks: Mapping[int, dict[str, Any]] = field(default_factory=dict)
    gone: Mapping[str, Sequence[str]] = field(default_factory=dict)
    runs: str = ""

    @property
    def table(self) -> Table:
        """The rows and their tasks."""
        return self.part.table

    @property
    def elsewhere(self) -> str:
        """For a sentence on what this sheet lacks: where it may be."""
        numbers = ", ".join(map(str, self.others))
        return f" (other runs: sheet={numbers})" if self.others else ""

    @property
    def marks(self) -> list[str]:
        """Marks of a picture: random weights, partial data, epochs selected on the test set."""
        row = self.table.rows[0]
        marks = [RANDOM] * (row.weights == RANDOM) + [PARTIAL] * row.partial
        return marks + ["EPOCH SELECTED ON THE TEST SET"] * self.table.selected_on_test

    @property
    def left_out(self) -> list[str]:
        """The sentence for the caption on what was taken out of it; empty where nothing was."""
        return left_out(self.gone)

    def without(self, gone: Mapping[str, Sequence[str]]) -> Sheet:
        """Return the sheet with these names as taken out of it, too."""
        both = {
            reason: [*self.gone.get(reason, ()), *gone.get(reason, ())]
            for reason in (*self.gone, *gone)
        }
        return dataclasses.replace(self, gone=both)

    @property
    def tasks_in_words(self) -> str:
        """Names of the tasks, or their number by group."""
        tasks = self.table.tasks
        if len(tasks) <= _FEW:
            return ", ".join(tasks)
        counts = Counter(tasks.values())
        listed = ", ".join(f"{count} {group}" for group, count in counts.items())
        return f"{len(tasks)} tasks ({listed})"

    @property
    def scores(self) -> str:
        """Metric of the scores, of each task where that differs."""
        found: dict[str, list[str]] = {}
        for task in self.table.tasks:
            found.setdefault(self.table.measures[task].title, []).append(task)
        if len(found) == 1:
            return next(iter(found))
        return ", ".join(f"{title} on {' and '.join(tasks)}" for title, tasks in found.items())

    def caption(self, seeds: Iterable[int]) -> str:
        """Return the data, weights and protocol of its runs, and ``seeds``: of those runs that the
        picture's numbers are of."""
        from hydra_peft.tables.parts import common_in_words

        used = sorted(set(seeds))
        kind = "seed" if len(used) == 1 else "seeds"
        said = common_in_words(self.table.rows, self.part.common)
        overrides = f"; all with {said}" if said else ""
        listed = ", ".join(map(str, used))
        return f"Measured on {describe(self.table)}; {kind} {listed}{overrides}."

    def look(self, *rows: Row) -> dict[str, Any]:
        """Return colour and mark of a series of ``rows``: those of the row with most runs."""
        own = {id(row) for row in rows}
        return next(look for key, look in self.looks.items() if key in own)

    def label(self, row: Row, *, rank: bool = True) -> str:
        """Return the row's name in tables, without its rank if need be."""
        label = self.part.names[id(row)]
        method = row.records[0].label
        return shortened(label if rank else label.replace(method, method_of(row), 1), _LONGEST)


def choose(collection: Collection, selection: Selection) -> Sheet:
    """Return the sheet that ``selection`` asks for, that with most runs if it asks for none.

    Raises:
        UserError: a name that no run has, no completed run left, or no such sheet.
    """
    from hydra_peft.tables.grouping import build_tables
    from hydra_peft.tables.parts import parts

    if not collection.completed:
        raise UserError("no run has completed: train something first, or give runs=<folder>.")
    wanted = {key: getattr(selection, key) for key in NAMES}
    chosen = select(dataclasses.replace(collection, others=[]), wanted)
    drawn = [(run.folder, drawable(run.record)) for run in chosen.completed]
    tables, notes = build_tables(
        [record for _, record in drawn],
        defaults=collection.defaults,
        benchmarks=collection.benchmarks,
    )
    found = [part for table in tables for part in parts(table)]
    found.sort(key=lambda part: (-_runs(part.table), part.table.selected_on_test))
    if selection.sheet > len(found):
        raise UserError(f"sheet={selection.sheet} is too large: these runs make {len(found)}.")
    number = max(selection.sheet, 1)
    others = {at: other for at, other in enumerate(found, 1) if at != number}
    elsewhere = [
        f"not in this picture: {_counted(other.table)} on {describe(other.table)}: sheet={at}."
        for at, other in others.items()
    ]
    folders = {id(record): folder for folder, record in drawn}
    part = found[number - 1]
    return Sheet(part, folders, (*elsewhere, *notes), others, _looks(part.table.rows))


def describe(table: Table) -> str:
    """Describe the properties that all runs of ``table`` share, marks included."""
    row = table.rows[0]
    partial = f", {PARTIAL}" if row.partial else ""
    return (
        f"{table.benchmark}, protocol {table.protocol} ({table.learnt}, scored on "
        f"{table.split}{table.rule}), {row.model}, {row.weights}{partial}"
    )


def _looks(rows: list[Row]) -> dict[int, dict[str, Any]]:
    """Return the look of each row by its ``id``; of one method's the plainest is plain, of such
    that with most runs."""

    def order(row: Row) -> tuple[int, int]:
        return len(row.overrides) + bool(row.apart), -len(row.records)

    ordered = sorted(rows, key=order)
    found = looks([method_of(row) for row in ordered])
    return {id(row): look for row, look in zip(ordered, found, strict=True)}


def _runs(table: Table) -> int:
    return sum(len(row.records) for row in table.rows)


def _counted(table: Table) -> str:
    count = _runs(table)
    return f"{count} run" + "s" * (count != 1)


def method_of(row: Row) -> str:
    """Return the name of the row's method."""
    return str(row.method.get("name"))


def in_words(counts: Sequence[int]) -> str:
    """Number of seeds in words, such as ``3 seeds`` or ``1 to 3 seeds``."""
    least, most = min(counts), max(counts)
    if least == most:
        return f"{most} seed" + "s" * (most != 1)
    return f"{least} to {most} seeds"


def spread_in_words(counts: Sequence[int]) -> str:
    """Number of seeds where there is a spread over them: one alone has none."""
    return in_words([count for count in counts if count > 1])


def of_one_scale(sheet: Sheet) -> Sheet:
    """Return ``sheet`` with the tasks whose scores may stand on one axis; the caption names others.

    Rows without any of them are left out with the others.

    Raises:
        UserError: which direction is better is not known.
    """
    from hydra_peft.tables.measures import one_scale

    table = sheet.table
    kept = one_scale(list(table.tasks), table.measures)
    if not table.measures[kept[0]].sign:
        title = table.measures[kept[0]].title
        raise UserError(
            f"whether a higher {title} is better is not known here: it compares no methods."
        )
    gone: dict[str, list[str]] = {}
    for task in table.tasks:
        if task not in kept:
            gone.setdefault(f"{table.measures[task].title}, of another scale", []).append(task)
    rows = [row for row in table.rows if any(task in row.scores for task in kept)]
    lost = [sheet.label(row) for row in table.rows if not any(row is other for other in rows)]
    sheet = sheet.without({**gone, f"no run{sheet.runs} on {some(kept)}": lost})
    return dataclasses.replace(sheet, part=sheet.part.only(rows, kept))


def complete_part(sheet: Sheet, *, asked: bool) -> Sheet:
    """Return the part of ``sheet`` in which every row has runs on every task.

    Args:
        sheet: all rows and tasks.
        asked: whether its tasks were asked for by name; then all of them stay.

    Raises:
        UserError: no row has runs on all tasks that were asked for.
    """
    rows, tasks = sheet.table.rows, list(sheet.table.tasks)
    if not asked:
        found, kept = shared_block([row.scores for row in rows], tasks)
        return part(sheet, [rows[at] for at in found], kept)
    whole = [row for row in rows if complete(row.scores, tasks)]
    if not whole:
        raise UserError(
            f"no method has runs{sheet.runs} of one seed on all of {', '.join(tasks)}: give "
            "tasks=<those to compare on>."
        )
    return part(sheet, whole, tasks)


def part(
    sheet: Sheet,
    rows: Sequence[Row],
    tasks: Sequence[str],
    why: Callable[[Row], str] = lambda _: "no seed on all of these tasks",
) -> Sheet:
    """Return ``sheet`` with ``rows`` and ``tasks`` alone; it names the others as left out.

    ``why`` says for what reason a row is left out that has a run on each of ``tasks``.
    """
    table = sheet.table
    gone: dict[str, list[str]] = {}
    for task in table.tasks:
        if task not in tasks:
            lacking = [sheet.label(row) for row in rows if task not in row.scores]
            reason = f"no run{sheet.runs} of {some(lacking)}" if lacking else "no seed in common"
            gone.setdefault(reason, []).append(task)
    own = {id(row) for row in rows}
    for row in table.rows:
        if id(row) not in own:
            missing = [task for task in tasks if task not in row.scores]
            reason = f"no run{sheet.runs} on {some(missing)}" if missing else why(row)
            gone.setdefault(reason, []).append(sheet.label(row))
    return dataclasses.replace(sheet.without(gone), part=sheet.part.only(rows, tasks))


def left_out(gone: Mapping[str, Sequence[str]]) -> list[str]:
    """Return a sentence that names what is left out, by reason; empty where nothing is."""
    parts = [f"{some(names)} [{reason}]" for reason, names in gone.items() if names]
    return [f"Left out: {'; '.join(parts)}."] if parts else []


def some(names: Sequence[str]) -> str:
    """Return ``names`` in a row, of many the first and how many more there are."""
    if len(names) <= _FEW_NAMES + 1:
        return in_a_row(names)
    return f"{in_a_row(names[:_FEW_NAMES])} and {len(names) - _FEW_NAMES} more"


def series_of(sheet: Sheet) -> dict[str, list[Row]]:
    """Return the rows of each series by its name, by rank; one row each where ranks repeat.

    A row without branches is a series of its own, with its whole name.
    """
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in sheet.table.rows:
        same = {key: value for key, value in row.settings.items() if key not in _RANKS}
        # The r of an adapter or of VeRA is none of the ranks that a series is over.
        name = sheet.label(row, rank=not any(ranks_of(row)))
        groups.setdefault((name + _shape(row), repr(same)), []).append(row)
    series: dict[str, list[Row]] = {}
    for (name, _), rows in groups.items():
        ranks = [ranks_of(row) for row in rows]
        if len(set(ranks)) == len(ranks) and name not in series:
            series[name] = sorted(rows, key=lambda row: sum(ranks_of(row)))
            continue
        for row in rows:
            series.setdefault(sheet.label(row), []).append(row)
    return series


def _shape(row: Row) -> str:
    """Describe how the branches share the rank, where not equally."""
    parallel, sequential = ranks_of(row)
    if not parallel or not sequential or parallel == sequential:
        return ""
    return f" {parallel / sequential:g}:1"


def ranks_of(row: Row) -> tuple[int, int]:
    """Return the rank of the parallel and of the sequential branch; 0 where there is none.

    A record may have anything there.
    """
    found = (row.method.get(f"rank_{branch}") for branch in ("parallel", "sequential"))
    parallel, sequential = (n if type(n) is int and 0 < n < _NO_RANK else 0 for n in found)
    return parallel, sequential
