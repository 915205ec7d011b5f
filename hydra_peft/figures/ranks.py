"""Accuracy against rank: one curve a method, over runs that differ in nothing but their ranks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra_peft.errors import UserError
from hydra_peft.figures._bands import BANDS, OPTION, check_band, draw_band, spread
from hydra_peft.figures._base import CollectionFigure, FigureData
from hydra_peft.figures._sheets import (
    OPTIONS,
    Selection,
    Sheet,
    choose,
    in_words,
    legend,
    looks,
    method_of,
    room,
)
from hydra_peft.figures._style import COLUMN, PAGE, footer, picture

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

    from hydra_peft.runs.collection import Collection
    from hydra_peft.tables.rows import Row

_RANKS = ("method.rank", "method.rank_parallel", "method.rank_sequential")


@dataclass(frozen=True)
class Settings(Selection):
    """Settings of this figure."""

    band: str = "range"


def data(collection: Collection, settings: Settings) -> FigureData:
    """Return one line for each series, task and rank.

    A series is a method with all its settings but the ranks; where two rows of one have the same
    rank, they are series of their own. ``rank`` is that of all branches together, to which the
    rank of the whole update is limited; rows without branches have 0. Columns: ``series``,
    ``method``, ``task``, ``rank``, ``rank_parallel``, ``rank_sequential``, ``parameters``
    (without head), ``mean``, ``low``, ``high`` (percent), ``seeds``.

    Raises:
        UserError: no series has two ranks on one task, or no such band.
    """
    import pandas as pd

    check_band(settings.band)
    sheet = choose(collection, settings)
    series = _series(sheet)
    ranked = {task for rows in series.values() for task in _swept(rows)}
    if not ranked:
        raise UserError(
            f"no method has runs at two ranks on one task of {sheet.table.benchmark}, protocol "
            f"{sheet.table.protocol}{sheet.elsewhere}: python scripts/train.py -m "
            "+experiment=rank_sweep has some."
        )
    lines = [
        _line(name, row, task, settings.band)
        for name, rows in series.items()
        for task in sheet.table.tasks
        if task in ranked
        for row in rows
        if task in row.scores
    ]
    table = pd.DataFrame(lines).sort_values(["series", "task", "rank"], kind="stable")
    # Methods in the order of the rows, which is that of their parameters.
    methods = {name: method_of(rows[0]) for name, rows in series.items()}
    drawn = [name for name in methods if name in set(table["series"])]
    facts = {
        "marks": sheet.marks,
        "split": sheet.table.split,
        "looks": dict(zip(drawn, looks([methods[name] for name in drawn]), strict=True)),
        "tasks": [task for task in sheet.table.tasks if task in ranked],
    }
    left = [task for task in sheet.table.tasks if task not in ranked]
    note = f"left out, since no method has two ranks on them: {', '.join(left)}."
    notes = (*([note] * bool(left)), *sheet.notes)
    return FigureData({"": table}, _caption(sheet, settings, table), notes, facts)


def _series(sheet: Sheet) -> dict[str, list[Row]]:
    """Return rows by the label of their series, without those that no other rank goes with."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in sheet.table.rows:
        same = {key: value for key, value in row.settings.items() if key not in _RANKS}
        groups.setdefault((sheet.label(row, rank=False) + _shape(row), repr(same)), []).append(row)
    series: dict[str, list[Row]] = {}
    for (name, _), rows in groups.items():
        ranks = [_ranks(row) for row in rows]
        if len(set(ranks)) == len(ranks) and name not in series:
            series[name] = sorted(rows, key=lambda row: sum(_ranks(row)))
            continue
        for row in rows:
            series[sheet.label(row)] = [row]
    return series


def _shape(row: Row) -> str:
    """Say how the branches share the rank, where not equally."""
    parallel, sequential = _ranks(row)
    if not parallel or not sequential or parallel == sequential:
        return ""
    return f" {parallel / sequential:g}:1"


def _ranks(row: Row) -> tuple[int, int]:
    return int(row.method.get("rank_parallel", 0)), int(row.method.get("rank_sequential", 0))


def _swept(rows: Sequence[Row]) -> list[str]:
    """Return the tasks on which ``rows`` have two ranks or more."""
    counts: dict[str, int] = {}
    for row in rows:
        for task in row.scores:
            counts[task] = counts.get(task, 0) + 1
    return [task for task, count in counts.items() if count > 1]


def _line(name: str, row: Row, task: str, band: str) -> dict[str, Any]:
    parallel, sequential = _ranks(row)
    return {
        "series": name,
        "method": method_of(row),
        "task": task,
        "rank": parallel + sequential,
        "rank_parallel": parallel,
        "rank_sequential": sequential,
        "parameters": row.adapter,
        **spread(list(row.scores[task].values()), band),
    }


def _caption(sheet: Sheet, settings: Settings, table: pd.DataFrame) -> str:
    counts = table["seeds"].tolist()
    parts = [sheet.caption, "Total rank: of all branches together."]
    if max(counts) > 1:
        parts.append(f"Lines: means; bands: {BANDS[settings.band]} ({in_words(counts)}).")
    if min(counts) == 1:
        parts.append("Where there is no band, one seed." if max(counts) > 1 else "One seed each.")
    if (table["rank"] == 0).any():
        parts.append("Horizontal: methods without ranks.")
    return " ".join(parts)


def plot(data: FigureData) -> Picture:
    """Draw one panel a task."""
    facts = data.facts or {}
    tasks: list[str] = facts["tasks"]
    columns = min(len(tasks), 2 if len(tasks) <= 4 else 4)
    rows = -(-len(tasks) // columns)
    width = COLUMN if columns <= 2 else PAGE
    labels = list(facts["looks"])
    high = 1.9 if columns == 1 else 1.5
    made = picture(width, high * rows + 0.3 + room(width, labels, facts["marks"], data.caption))
    grid = made.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(tasks) :]:
        axes.set_visible(False)
    handles: dict[str, Any] = {}
    for axes, task in zip(grid.flat, tasks, strict=False):
        handles |= _draw(axes, data.table[data.table["task"] == task], facts["looks"])
        axes.set_title(task)
    for axes in grid[:, 0]:
        axes.set_ylabel(f"accuracy on {facts['split']} (%)")
    for axes in grid.flat[max(0, len(tasks) - columns) : len(tasks)]:
        axes.set_xlabel("total rank")
    legend(made, {name: handles[name] for name in labels}, facts["marks"])
    footer(made, data.caption)
    return made


def _draw(
    axes: Axes, table: pd.DataFrame, styles: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    from matplotlib.ticker import NullLocator

    handles = {}
    axes.set_xscale("log", base=2)
    ranks = sorted({rank for rank in table["rank"] if rank > 0})
    axes.set_xticks(ranks, [str(rank) for rank in ranks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(axis="y")
    for name, look in styles.items():
        lines = table[table["series"] == name]
        flat = lines[lines["rank"] == 0]
        if len(flat):
            style = {"color": look["color"], "linestyle": look["linestyle"]}
            handles[name] = axes.axhline(float(flat["mean"].iloc[0]), linewidth=0.9, **style)
        elif len(lines):
            handles[name] = draw_band(axes, lines, "rank", look)
    return handles


FIGURE = CollectionFigure(
    name="ranks",
    title="accuracy against rank, one curve a method",
    data=data,
    plot=plot,
    settings=Settings,
    options=(*OPTIONS, OPTION),
)
