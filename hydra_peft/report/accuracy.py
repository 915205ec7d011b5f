"""Accuracy tables as a page shows them: cells with mean, deviation and rank, by backbone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hydra_peft.report.run_lines import Badge
from hydra_peft.tables.labels import PARTIAL, RANDOM
from hydra_peft.tables.render import seeds
from hydra_peft.tables.rows import Row, Summary, Table
from hydra_peft.tables.sheet import ranks

#: in the place of a number
MISSING = "\u2013"
#: as many as are printed; what is equal there shares a rank
_DECIMALS = 1


@dataclass(frozen=True)
class Cell:
    """One number of a table.

    Attributes:
        value: to sort by; None where a run is missing.
        mean, deviation: as shown; the deviation is empty for one seed.
        count: number of seeds; shown where it is not that of most cells of the table.
        rank: 1 for the best of the column among rows on one backbone, 2 for the second, else 0.
    """

    value: float | None
    mean: str
    deviation: str
    count: int
    rank: int


@dataclass(frozen=True)
class Line:
    """One row: its label, its cells in the order of the columns, seeds and parameters."""

    label: str
    cells: list[Cell]
    seeds: str
    adapter: int
    with_head: int


@dataclass(frozen=True)
class Part:
    """Rows on one backbone with one set of weights: they alone are ranked among each other."""

    backbone: str
    lines: list[Line]


@dataclass(frozen=True)
class AccuracyTable:
    """One table.

    Attributes:
        title: benchmark and protocol.
        badges: what all of its runs share.
        columns: titles and the groups they belong to; the two means last.
        spread: whether a cell has a deviation.
        count: number of seeds of most cells.
        uneven: by column, whether a cell has another number.
    """

    title: str
    badges: list[Badge]
    columns: list[tuple[str, str]]
    parts: list[Part]
    spread: bool
    count: int
    uneven: list[bool]


def accuracy_table(table: Table, lineages: list[str]) -> AccuracyTable:
    """Return ``table`` as a page shows it; ``lineages`` are those of its data."""
    backbones: dict[str, list[Row]] = {}
    for row in sorted(table.rows, key=lambda row: (row.weights == RANDOM, row.partial)):
        weights = row.weights + (f", {PARTIAL}" if row.partial else "")
        backbones.setdefault(f"{row.model}, {weights}", []).append(row)
    columns = [*table.tasks.items(), ("mean over tasks", ""), ("mean over groups", "")]
    parts = [Part(name, _lines(rows, table)) for name, rows in backbones.items()]
    counts = Counter(cell.count for part in parts for line in part.lines for cell in line.cells)
    del counts[0]
    badges = [
        Badge(f"protocol {table.protocol}", "plain", "how epochs and hyper-parameters are chosen"),
        Badge(f"trained on {table.trained_on}", "plain", "the split that was learnt from"),
        Badge(f"scored on {table.split}", "plain", "the split that accuracy is of"),
        Badge(table.selection, "plain", "which epoch counts"),
        *(Badge(f"data {lineage}", "plain", "how the data came here") for lineage in lineages),
    ]
    if table.selected_on_test:
        badges.append(
            Badge("selected on the test set", "caution", "no estimate of accuracy on new images")
        )
    if any(row.weights == RANDOM for row in table.rows):
        badges.append(Badge(RANDOM, "caution", "some backbones were not pretrained"))
    if any(row.partial for row in table.rows):
        badges.append(Badge(PARTIAL, "caution", "some runs had not the whole data"))
    title = f"{table.benchmark}, protocol {table.protocol}"
    usual = counts.most_common(1)[0][0]
    cells = [line.cells for part in parts for line in part.lines]
    uneven = [
        any(cell.count not in (0, usual) for cell in column) for column in zip(*cells, strict=True)
    ]
    return AccuracyTable(title, badges, columns, parts, max(counts) > 1, usual, uneven)


def _lines(rows: list[Row], table: Table) -> list[Line]:
    summaries = [_summaries(row, table) for row in rows]
    # What is printed alike is ranked alike.
    columns = [
        [x and round(x.mean, _DECIMALS) for x in column] for column in zip(*summaries, strict=True)
    ]
    found = [ranks(column) for column in columns]
    return [
        Line(
            label=row.label,
            cells=[_cell(x, found[i][number] or 0) for i, x in enumerate(summaries[number])],
            seeds=seeds(row),
            adapter=row.adapter,
            with_head=round(row.adapter + row.mean_head()),
        )
        for number, row in enumerate(rows)
    ]


def _summaries(row: Row, table: Table) -> list[Summary | None]:
    means = (row.mean_over_tasks(table.tasks), row.mean_over_groups(table.tasks))
    return [*(row.cell(task) for task in table.tasks), *means]


def _cell(found: Summary | None, rank: int) -> Cell:
    if found is None:
        return Cell(None, MISSING, "", 0, 0)
    deviation = "" if found.std is None else f"{found.std:.{_DECIMALS}f}"
    return Cell(found.mean, f"{found.mean:.{_DECIMALS}f}", deviation, found.count, rank)
