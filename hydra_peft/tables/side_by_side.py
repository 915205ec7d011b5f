"""The join: a published table and the measured rows that belong beside its rows.

Tables and rows are those of :mod:`rows`: what was not averaged there is not averaged here. Each
(benchmark, protocol, splits, selection) has its own comparison, and each measured row its own line.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hydra_peft.errors import UserError
from hydra_peft.runs.record import Record
from hydra_peft.tables.overrides import Defaults
from hydra_peft.tables.paper_tables import PaperTable
from hydra_peft.tables.published import Number, PublishedRow, PublishedTable
from hydra_peft.tables.rest import rest_command
from hydra_peft.tables.rows import (
    PARTIAL,
    RANDOM,
    Row,
    Summary,
    Table,
    build_tables,
    group_weights,
    reduced_precision,
    task_weights,
)

PRINTED: Literal["printed"] = "printed"
FROM_CELLS: Literal["from cells"] = "from cells"


def fixed(value: float, decimals: int) -> str:
    """Return a percentage with ``decimals`` digits, halves rounded up as the paper does.

    The mean of 85.6, 94.4, 85.9 and 74.4 is 85.075, as a float a little less.
    """
    return f"{value + 1e-9:.{decimals}f}"


@dataclass(frozen=True)
class Quantity:
    """One column of a comparison: a task, or a mean over tasks.

    Attributes:
        name: title of the column.
        group: the task's group; empty for a mean.
        weights: of the tasks in it; a task is the mean over itself.
        decimals: to print measured values with.
    """

    name: str
    group: str
    weights: dict[str, float]
    decimals: int

    @property
    def is_mean(self) -> bool:
        """Whether it is a mean over several tasks."""
        return len(self.weights) > 1


@dataclass(frozen=True)
class PaperValue:
    """What the paper says of a quantity: ``printed`` there, or computed ``from cells`` of it."""

    value: float
    text: str
    source: Literal["printed", "from cells"]


@dataclass(frozen=True)
class MeasuredRow:
    """One measured row beside a published one; values are keyed by the quantities' names.

    Attributes:
        label: carries the word ``measured`` and whatever the row has of its own.
        row: where it comes from.
        values: None where runs are missing.
        differences: measured - paper; None where one of the two is missing.
        mean_head: parameters of the head, averaged over tasks; None unless all tasks have runs.
        like_paper: on the paper's backbone with pretrained weights and whole data, as protocol
            and recipe have it.
    """

    label: str
    row: Row
    values: dict[str, Summary | None]
    differences: dict[str, float | None]
    mean_head: float | None
    like_paper: bool


@dataclass(frozen=True)
class Block:
    """A published row and what was measured of it.

    Attributes:
        label: carries the word ``paper``.
        published: the row as transcribed.
        parameters: millions, as printed.
        average: the average, as printed.
        paper: what the paper says, by the quantity's name.
        measured: those like the paper's first; empty where there are no runs.
        awaited: label of the missing measured row, where the spec has one; else empty.
    """

    label: str
    published: PublishedRow
    parameters: Number | None
    average: Number | None
    paper: dict[str, PaperValue | None]
    measured: list[MeasuredRow]
    awaited: str


@dataclass(frozen=True)
class SideBySide:
    """A published table beside the measured rows of one protocol; or alone (``table`` is None)."""

    number: int
    spec: PaperTable
    table: Table | None
    quantities: list[Quantity]
    blocks: list[Block]
    notes: list[str]


def compare(
    number: int,
    spec: PaperTable,
    published: PublishedTable,
    records: list[Record],
    *,
    protocol: str | None = None,
    defaults: Defaults | None = None,
    runs: Path | None = None,
) -> tuple[list[SideBySide], list[str]]:
    """Put the runs of ``records`` beside the published rows they belong to.

    Args:
        number: the table's number in the paper.
        spec: the table.
        published: its numbers.
        records: completed runs, of any benchmark.
        protocol: leave other protocols out.
        defaults: as of :func:`~hydra_peft.tables.rows.build_tables`.
        runs: as of :func:`~hydra_peft.tables.rest.rest_command`.

    Returns:
        One comparison for each measured table with a row that fits, the published table alone if
        there is none; and a sentence for each thing kept apart or left out.

    Raises:
        UserError: the published table lacks a row or column that the spec names.
    """
    _check(spec, published)
    chosen = [r for r in records if r.benchmark == spec.benchmark.name]
    chosen = [r for r in chosen if protocol in (None, r.protocol)]
    tables, warnings = build_tables(chosen, defaults=defaults)
    sides = []
    for table in tables:
        fitting = [row for row in table.rows if any(_fits(row, i) for i in spec.rows.values())]
        warnings += _left_out(number, spec, table, [r for r in table.rows if r not in fitting])
        if fitting:
            sides.append(_side_by_side(number, spec, published, table, table.protocol, runs))
    return sides or [_side_by_side(number, spec, published, None, protocol, runs)], warnings


def quantities(spec: PaperTable) -> list[Quantity]:
    """Return the columns of a comparison: tasks, means of groups, means over all."""
    benchmark = spec.benchmark
    tasks, groups = benchmark.tasks, benchmark.groups
    grouped = len(groups) > 1
    over_tasks = Quantity("mean over tasks", "", task_weights(tasks), 2)
    over_groups = Quantity("mean over groups", "", group_weights(tasks), 2)
    if spec.summary:
        return [over_groups if grouped else over_tasks]
    columns = [Quantity(t, g, {t: 1.0}, benchmark.decimals) for t, g in tasks.items()]
    if grouped:
        columns += [
            Quantity(f"{group} mean", "", task_weights(dict.fromkeys(members, group)), 2)
            for group, members in groups.items()
        ]
    return [*columns, over_tasks, *([over_groups] if grouped else [])]


def _check(spec: PaperTable, published: PublishedTable) -> None:
    columns = {"params_m", spec.average, *(() if spec.summary else spec.benchmark.tasks)}
    labels = {row.label for row in published.rows}
    lacking = sorted(columns - set(published.columns)) + sorted(spec.rows.keys() - labels)
    if lacking:
        raise UserError(f"{published.path} lacks {', '.join(lacking)}: edited?")


def _fits(row: Row, items: dict[str, Any]) -> bool:
    return all(key in row.method and row.method[key] == value for key, value in items.items())


def _left_out(number: int, spec: PaperTable, table: Table, rows: list[Row]) -> Iterator[str]:
    if rows:
        labels = ", ".join(dict.fromkeys(row.label for row in rows))
        yield f"protocol {table.protocol}: no row of Table {number} is like {labels}: left out."
    unknown = [task for task in table.tasks if task not in spec.benchmark.tasks]
    if unknown:
        yield f"tasks that Table {number} does not have are left out: {', '.join(unknown)}."


def _side_by_side(
    number: int,
    spec: PaperTable,
    published: PublishedTable,
    table: Table | None,
    protocol: str | None,
    runs: Path | None,
) -> SideBySide:
    columns = quantities(spec)
    blocks = [_block(spec, row, table, columns) for row in published.rows]
    notes = [_count(spec, blocks, protocol, runs), *spec.notes]
    if table is not None and table.split != "test":
        notes.append(
            f"measured on {table.split}, published on the test set: the differences are not "
            "between like and like."
        )
    for block in blocks:
        mean = block.published.mean(spec.benchmark.average)
        if mean is None or block.average is None:
            continue
        if not block.published.is_explained(block.average, spec.benchmark.average):
            notes.append(
                f"the average of {block.label} is printed as {block.average.text}, its cells give "
                f"{fixed(mean, 2)}: more than rounding explains."
            )
    return SideBySide(number, spec, table, columns, blocks, notes)


def _block(
    spec: PaperTable, published: PublishedRow, table: Table | None, columns: list[Quantity]
) -> Block:
    items = spec.rows.get(published.label)
    rows = [row for row in table.rows if _fits(row, items)] if table and items else []
    rows.sort(key=lambda row: not _is_like_paper(row, spec))
    average = published.numbers[spec.average]
    paper = {column.name: _paper_value(column, published, average) for column in columns}
    return Block(
        label=f"{published.label} (paper)",
        published=published,
        parameters=published.numbers["params_m"],
        average=average,
        paper=paper,
        measured=[
            _measured(row, label, spec, columns, paper)
            for row, label in zip(rows, _labels(published.label, rows, spec), strict=True)
        ],
        awaited=f"{published.label} (measured)" if table and items and not rows else "",
    )


def _paper_value(
    column: Quantity, published: PublishedRow, average: Number | None
) -> PaperValue | None:
    mean = published.mean(column.weights)
    if not column.is_mean:
        (task,) = column.weights
        cell = published.numbers.get(task)
        return PaperValue(cell.value, cell.text, PRINTED) if cell else None
    if mean is not None:
        return PaperValue(mean, fixed(mean, column.decimals), FROM_CELLS)
    # A table of averages alone has no cells to compute from; its one quantity is that average.
    no_cells = not any(task in published.numbers for task in column.weights)
    return PaperValue(average.value, average.text, PRINTED) if average and no_cells else None


def _is_like_paper(row: Row, spec: PaperTable) -> bool:
    pretrained = row.model == spec.benchmark.backbone and row.weights != RANDOM
    return pretrained and not row.partial and not row.overrides


def _labels(name: str, rows: list[Row], spec: PaperTable) -> list[str]:
    """Return what each row is called: what is unusual about it, or all of it to tell rows apart."""
    labels = []
    for row in rows:
        marks = [row.model] * (row.model != spec.benchmark.backbone)
        marks += [RANDOM] * (row.weights == RANDOM) + [PARTIAL] * row.partial
        marks += [*reduced_precision(row.settings), *row.overrides]
        labels.append(f"{name} ({', '.join(['measured', *marks])})")
    if len(set(labels)) == len(labels):
        return labels
    return [f"{name} (measured: {describe(row)})" for row in rows]


def describe(row: Row) -> str:
    """Return everything that names a row."""
    return f"{row.label}, {row.model}, {row.weights}"


def _measured(
    row: Row,
    label: str,
    spec: PaperTable,
    columns: list[Quantity],
    paper: dict[str, PaperValue | None],
) -> MeasuredRow:
    values = {column.name: row.mean(column.weights) for column in columns}
    differences: dict[str, float | None] = {}
    for name, value in values.items():
        published = paper[name]
        differences[name] = value.mean - published.value if value and published else None
    heads = [row.heads[task] for task in spec.benchmark.tasks if task in row.heads]
    complete = len(heads) == len(spec.benchmark.tasks)
    mean_head = sum(heads) / len(heads) if complete else None
    like_paper = _is_like_paper(row, spec)
    return MeasuredRow(label, row, values, differences, mean_head, like_paper)


def covered(row: Row, spec: PaperTable) -> int:
    """Return how many of the table's tasks have a run in ``row``."""
    return sum(task in row.scores for task in spec.benchmark.tasks)


def _count(spec: PaperTable, blocks: list[Block], protocol: str | None, runs: Path | None) -> str:
    """Say how many of the table's runs exist, and what trains the rest."""
    tasks = len(spec.benchmark.tasks)
    total = len(spec.rows) * tasks
    counted: list[Row] = []
    rules = []
    for block in blocks:
        usual = [m.row for m in block.measured if m.like_paper]
        usual.sort(key=lambda row: covered(row, spec), reverse=True)
        counted += usual[:1]
        if len(usual) > 1:
            rules.append("of several measured rows of one kind the fullest counts")
        if len(usual) < len(block.measured):
            rules.append(
                "other backbones, random weights, partial data, overridden and tuned settings do "
                "not count"
            )
    found = sum(covered(row, spec) for row in counted)
    rule = "".join(f"; {text}" for text in dict.fromkeys(rules))
    count = f"runs: {found} of {total} ({', '.join(spec.rows)} x {tasks} tasks{rule})"
    if found == total:
        return f"{count}."
    counted.sort(key=lambda row: covered(row, spec), reverse=True)
    return f"{count}; the rest: `{rest_command(spec, counted, protocol=protocol, runs=runs)}`"
