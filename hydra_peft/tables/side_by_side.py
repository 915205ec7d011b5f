"""The join: a published table and the measured rows that belong beside its rows.

Tables and rows are those of :mod:`rows`: what was not averaged there is not averaged here. Each
(benchmark, protocol, splits, selection) has its own comparison, and each measured row its own line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from hydra_peft.errors import UserError
from hydra_peft.methods import method_names
from hydra_peft.plain_text import in_a_row
from hydra_peft.runs.record import Record
from hydra_peft.tables.deviations import deviations, fixed
from hydra_peft.tables.grouping import build_tables, reduced_precision
from hydra_peft.tables.labels import PARTIAL, RANDOM
from hydra_peft.tables.measures import measure_of
from hydra_peft.tables.overrides import Defaults
from hydra_peft.tables.paper_tables import PaperTable
from hydra_peft.tables.parts import common_overrides, own_overrides
from hydra_peft.tables.pe_score import pe_factor
from hydra_peft.tables.published import Number, PublishedRow, PublishedTable
from hydra_peft.tables.rest import rest_command
from hydra_peft.tables.rows import Row, Table
from hydra_peft.tables.summaries import Summary, task_weights, weights_over

PRINTED: Literal["printed"] = "printed"
FROM_CELLS: Literal["from cells"] = "from cells"


@dataclass(frozen=True)
class Quantity:
    """One column of a comparison: a task, or a mean over tasks.

    Attributes:
        name: of the task or the mean, for programs.
        group: the task's group; empty for a mean.
        weights: of the tasks in it; a task is the mean over itself.
        decimals: to print measured values with where the paper prints none.
        title: of the column, as the paper has it.
        column: of the published csv; empty for a mean that the paper does not print.
        pe: whether it is the PE score of that mean.
    """

    name: str
    group: str
    weights: dict[str, float]
    decimals: int
    title: str
    column: str = ""
    pe: bool = False

    @property
    def is_mean(self) -> bool:
        """Whether the column is a mean over several tasks."""
        return len(self.weights) > 1


@dataclass(frozen=True)
class PaperValue:
    """Value of the paper: ``printed`` there, or computed ``from cells`` of it."""

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
        key: what the spec calls the published row.
        label: the key and the word ``paper``.
        published: the row as transcribed.
        parameters: millions, as printed.
        average: the average, as printed.
        paper: what the paper says, by the quantity's name.
        measured: those like the paper's first; empty where there are no runs.
        awaited: label of the missing measured row, where the spec has one; else empty.
    """

    key: str
    label: str
    published: PublishedRow
    parameters: Number | None
    average: Number | None
    paper: dict[str, PaperValue | None]
    measured: list[MeasuredRow]
    awaited: str


@dataclass(frozen=True)
class SideBySide:
    """A published table beside the measured rows of one protocol; or alone (``table`` is None).

    Attributes:
        common: overrides of the measured rows that their labels do not repeat; see
            :func:`~hydra_peft.tables.parts.common_overrides`.
    """

    spec: PaperTable
    table: Table | None
    quantities: list[Quantity]
    blocks: list[Block]
    notes: list[str]
    common: tuple[str, ...] = ()

    @property
    def measured(self) -> list[Row]:
        """All measured rows."""
        return [measured.row for block in self.blocks for measured in block.measured]


def compare(
    spec: PaperTable,
    published: PublishedTable,
    records: list[Record],
    *,
    protocol: str | None = None,
    defaults: Defaults | None = None,
    runs: Path | None = None,
    trainable: bool = True,
    benchmarks: Sequence[Path] = (),
) -> tuple[list[SideBySide], list[str]]:
    """Put the runs of ``records`` beside the published rows they belong to.

    Args:
        spec: the table.
        published: its numbers.
        records: completed runs, of any benchmark.
        protocol: leave other protocols out.
        defaults, benchmarks: as of :func:`~hydra_peft.tables.grouping.build_tables`.
        runs: as of :func:`~hydra_peft.tables.rest.rest_command`.
        trainable: whether ``conf`` has the table's experiment and its benchmark.

    Returns:
        One comparison for each measured table with a row that fits, the published table alone if
        there is none; and a sentence for each thing kept apart or left out.

    Raises:
        UserError: the published table lacks a row or column that the spec names.
    """
    _check(spec, published)
    chosen = [r for r in records if r.benchmark == spec.benchmark.name]
    chosen = [r for r in chosen if protocol in (None, r.protocol)]
    others = {r.task: measure_of(r.primary).title for r in chosen if not _is_scored_so(r, spec)}
    chosen = [r for r in chosen if _is_scored_so(r, spec)]
    tables, warnings = build_tables(chosen, defaults=defaults, benchmarks=benchmarks)
    warnings += [
        f"runs of {task} with {title} are left out: Table {spec.number} has "
        f"{measure_of(spec.benchmark.paper.metric(task)).title} of it."
        for task, title in sorted(others.items())
    ]
    sides = []
    for table in tables:
        fitting = _fitting(table, spec)
        warnings += _left_out(spec, table, [r for r in table.rows if r not in fitting])
        if fitting:
            place = (table.protocol, runs, trainable)
            sides.append(_side_by_side(spec, published, table, *place))
    if not sides:
        sides = [_side_by_side(spec, published, None, protocol, runs, trainable)]
    return sides, warnings


def _is_scored_so(record: Record, spec: PaperTable) -> bool:
    """Whether the score of ``record`` is of the metric that the paper prints of its task."""
    return record.primary == spec.benchmark.paper.metric(record.task)


def quantities(spec: PaperTable) -> list[Quantity]:
    """Return the columns of a comparison: as the paper prints them, then means of ours."""
    benchmark = spec.benchmark
    tasks, decimals = benchmark.tasks, benchmark.paper.decimals
    average, name = spec.average_weights, f"average ({benchmark.main_mean[0]})"
    columns = [Quantity(name, "", average, decimals, name, spec.average)]
    if spec.pe:
        columns.append(Quantity("PE", "", average, 3, "PE", spec.pe, pe=True))
    if spec.summary:
        return columns
    columns += [
        Quantity(task, group, {task: 1.0}, decimals, benchmark.titles[task], task)
        for task, group in tasks.items()
    ]
    means = {
        f"{group} mean": task_weights(dict.fromkeys(members, group))
        for group, members in benchmark.groups.items()
        if len(benchmark.groups) > 1
    }
    means |= {mean: weights_over(over, tasks) for mean, over in benchmark.means.items()}
    return [*columns, *(Quantity(n, "", weights, 2, n) for n, weights in means.items())]


def _check(spec: PaperTable, published: PublishedTable) -> None:
    columns = {"params_m", *(quantity.column for quantity in quantities(spec))} - {""}
    keys = {published.key(row) for row in published.rows}
    lacking = sorted(columns - set(published.columns)) + sorted(spec.rows.keys() - keys)
    if lacking:
        raise UserError(f"{published.path} lacks {', '.join(lacking)}: edited?")


def _fits(row: Row, items: dict[str, Any]) -> bool:
    return all(key in row.method and row.method[key] == value for key, value in items.items())


def _fitting(table: Table, spec: PaperTable) -> list[Row]:
    return [row for row in table.rows if any(_fits(row, items) for items in spec.rows.values())]


def _left_out(spec: PaperTable, table: Table, rows: list[Row]) -> Iterator[str]:
    if rows:
        unlike = f"no row of Table {spec.number} is like"
        labels = in_a_row(dict.fromkeys(row.label for row in rows))
        yield f"protocol {table.protocol}: {unlike} {labels}: left out."
    if unknown := [task for task in table.tasks if task not in spec.benchmark.tasks]:
        yield f"tasks that Table {spec.number} does not have are left out: {', '.join(unknown)}."


def _side_by_side(
    spec: PaperTable,
    published: PublishedTable,
    table: Table | None,
    protocol: str | None,
    runs: Path | None,
    trainable: bool,
) -> SideBySide:
    columns = quantities(spec)
    fitting = _fitting(table, spec) if table else []
    common = common_overrides(fitting)
    blocks = [
        _block(spec, published.key(row), row, fitting, common, columns, table is not None)
        for row in published.rows
    ]
    notes = [_count(spec, blocks, protocol, runs, trainable), *spec.notes]
    lacking = [key for key, items in spec.rows.items() if items["name"] not in method_names()]
    if lacking:
        notes.append(f"no method here yet for {', '.join(lacking)}: those rows are the paper's.")
    if table is not None and not table.on_test:
        notes.append(
            f"measured on {table.split}, published on the test set: the differences are not "
            "between like and like."
        )
    for block in blocks:
        notes += deviations(block.published, block.label, spec)
    return SideBySide(spec, table, columns, blocks, notes, common)


def _block(
    spec: PaperTable,
    key: str,
    published: PublishedRow,
    fitting: list[Row],
    common: tuple[str, ...],
    columns: list[Quantity],
    measured: bool,
) -> Block:
    items = spec.rows.get(key)
    rows = [row for row in fitting if _fits(row, items)] if items else []
    rows.sort(key=lambda row: not _is_like_paper(row, spec))
    paper = {column.name: _paper_value(column, published) for column in columns}
    return Block(
        key=key,
        label=f"{key} (paper)",
        published=published,
        parameters=published.numbers["params_m"],
        average=published.numbers[spec.average],
        paper=paper,
        measured=[
            _measured(row, label, spec, columns, paper)
            for row, label in zip(rows, _labels(key, rows, spec, common), strict=True)
        ],
        awaited=f"{key} (measured)" if measured and key in spec.trained and not rows else "",
    )


def _paper_value(column: Quantity, published: PublishedRow) -> PaperValue | None:
    if column.column:
        cell = published.numbers.get(column.column)
        return PaperValue(cell.value, cell.text, PRINTED) if cell else None
    mean = published.mean(column.weights)
    return None if mean is None else PaperValue(mean, fixed(mean, column.decimals), FROM_CELLS)


def _is_like_paper(row: Row, spec: PaperTable) -> bool:
    pretrained = row.model == spec.benchmark.paper.model and row.weights != RANDOM
    return pretrained and not row.partial and not set(row.overrides) - spec.own_marks(row.overrides)


def _labels(name: str, rows: list[Row], spec: PaperTable, common: tuple[str, ...]) -> list[str]:
    """Return labels of rows: their unusual settings, or all settings where that tells none
    apart."""
    labels = []
    for row in rows:
        marks = [row.model] * (row.model != spec.benchmark.paper.model)
        marks += [RANDOM] * (row.weights == RANDOM) + [PARTIAL] * row.partial
        marks += reduced_precision(row.settings)
        of_table = spec.own_marks(row.overrides)
        marks += [mark for mark in own_overrides(row, common) if mark not in of_table]
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
    heads = [row.heads[task] for task in spec.benchmark.tasks if task in row.heads]
    mean_head = sum(heads) / len(heads) if len(heads) == len(spec.benchmark.tasks) else None
    values: dict[str, Summary | None] = {}
    differences: dict[str, float | None] = {}
    for column in columns:
        value = row.mean(column.weights)
        if column.pe and value:
            # There is such a mean only where all tasks have runs.
            value = value.scaled(pe_factor(row.adapter + (mean_head or 0.0)) / 100.0)
        published = paper[column.name]
        values[column.name] = value
        differences[column.name] = value.value - published.value if value and published else None
    return MeasuredRow(label, row, values, differences, mean_head, _is_like_paper(row, spec))


def covered(row: Row, spec: PaperTable) -> int:
    """Number of the table's tasks that have a run in ``row``."""
    return sum(task in row.scores for task in spec.benchmark.tasks)


def _count(
    spec: PaperTable,
    blocks: list[Block],
    protocol: str | None,
    runs: Path | None,
    trainable: bool,
) -> str:
    """Count the existing runs of the table and name the command for the rest."""
    tasks = len(spec.benchmark.tasks)
    wanted = spec.trained
    total = len(wanted) * tasks
    counted: list[Row] = []
    rules = []
    for block in blocks:
        usual = [m.row for m in block.measured if m.like_paper and block.key in wanted]
        usual.sort(key=lambda row: covered(row, spec), reverse=True)
        counted += usual[:1]
        if len(usual) > 1:
            rules.append("of several measured rows of one kind the fullest counts")
        if any(not m.like_paper for m in block.measured):
            rules.append(
                "other backbones, random weights, partial data, overridden and tuned settings do "
                "not count"
            )
    found = sum(covered(row, spec) for row in counted)
    rule = "".join(f"; {text}" for text in dict.fromkeys(rules))
    count = f"runs: {found} of {total} ({', '.join(wanted)} x {tasks} tasks{rule})"
    if found == total:
        return f"{count}."
    if not trainable:
        return (
            f"{count}; nothing here trains the rest yet: conf has no experiment "
            f"{spec.experiment} or no benchmark {spec.benchmark.name}."
        )
    counted.sort(key=lambda row: covered(row, spec), reverse=True)
    return f"{count}; the rest: `{rest_command(spec, counted, protocol=protocol, runs=runs)}`"
