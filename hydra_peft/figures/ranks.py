"""Scores against rank: one curve a method, over runs that differ in nothing but their ranks."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra_peft.errors import UserError
from hydra_peft.figures._bands import BANDS, OPTION, bare, check_band, draw_band, shade, spread
from hydra_peft.figures._base import CollectionFigure, FigureData
from hydra_peft.figures._looks import of_one_look
from hydra_peft.figures._points import SIDE_BY_SIDE, STEP, lead_back, moved, points, side_by_side
from hydra_peft.figures._sheets import (
    OPTIONS,
    Selection,
    Sheet,
    choose,
    method_of,
    ranks_of,
    series_of,
    spread_in_words,
)
from hydra_peft.figures._style import COLUMN, PAGE, in_lines, legend, picture, room

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

    from hydra_peft.runs.collection import Collection
    from hydra_peft.tables.rows import Row

#: how a bar differs from the line of its series
_BAR: dict[str, Any] = {"marker": "", "linestyle": "-", "linewidth": 0.8}
#: columns of what rows of several sizes have not
_SIZES = ("rank", "rank_parallel", "rank_sequential", "parameters")
#: inches that marks take from the lowest to the highest, about
_HEIGHT = 1.0


@dataclass(frozen=True)
class Settings(Selection):
    """Settings of this figure."""

    band: str = "range"


def data(collection: Collection, settings: Settings) -> FigureData:
    """Return one line for each series, task and rank.

    A series is a method with all its settings but the ranks; where two rows of one have the same
    rank, they are series of their own. ``rank`` is that of all branches together, to which the
    rank of the whole update is limited; rows without one have 0, and rows of several sizes, chosen
    by task, neither rank nor parameters. Columns: ``series``,
    ``method``, ``task``, ``rank``, ``rank_parallel``, ``rank_sequential``, ``parameters``
    (without head), ``metric``, ``mean``, ``low``, ``high`` (in percent where the metric is),
    ``seeds``.

    Raises:
        UserError: no series has two ranks on one task, or no such band.
    """
    import pandas as pd

    check_band(settings.band)
    sheet = choose(collection, settings)
    series = series_of(sheet)
    ranked = {task for rows in series.values() for task in _swept(rows)}
    if not ranked:
        raise UserError(
            "no method has runs at two ranks, otherwise alike, on one task of "
            f"{sheet.table.benchmark}, protocol {sheet.table.protocol}{sheet.elsewhere}: "
            "python scripts/train.py -m +experiment=rank_sweep trains some."
        )
    left = [task for task in sheet.table.tasks if task not in ranked]
    sheet = sheet.without({"no method has runs at two ranks": left})
    sheet = dataclasses.replace(sheet, part=sheet.part.only(sheet.table.rows, ranked))
    lines = [
        _line(name, row, task, settings.band) | {"metric": sheet.table.measures[task].title}
        for name, rows in series.items()
        for task in sheet.table.tasks
        for row in rows
        if task in row.scores
    ]
    table = pd.DataFrame(lines).astype(dict.fromkeys(_SIZES, "Int64"))
    table = table.sort_values(["series", "task", "rank"], kind="stable")
    drawn = set(table["series"])
    facts: dict[str, Any] = {
        "axes": {
            task: measure.axis(f" on {sheet.table.split}")
            for task, measure in sheet.table.measures.items()
        },
        "looks": {name: sheet.look(*rows) for name, rows in series.items() if name in drawn},
        "tasks": list(sheet.table.tasks),
    }
    caption = " ".join(
        [
            _caption(sheet, settings, table),
            *of_one_look(facts["looks"].values()),
            *sheet.left_out,
        ]
    )
    return FigureData({"": table}, caption, sheet.notes, facts, sheet.marks)


def _swept(rows: Sequence[Row]) -> list[str]:
    """Return the tasks on which ``rows`` have two ranks or more."""
    counts: dict[str, int] = {}
    for row in rows:
        for task in row.scores:
            counts[task] = counts.get(task, 0) + 1
    return [task for task, count in counts.items() if count > 1]


def _line(name: str, row: Row, task: str, band: str) -> dict[str, Any]:
    parallel, sequential = ranks_of(row)
    found = (parallel + sequential, parallel, sequential, row.adapter)
    sizes = dict.fromkeys(_SIZES) if row.of_several_sizes else zip(_SIZES, found, strict=True)
    return {
        "series": name,
        "method": method_of(row),
        "task": task,
        **dict(sizes),
        **spread(list(row.scores[task].values()), band),
    }


def _ranked(table: pd.DataFrame) -> pd.Series[bool]:
    """Whether each line of ``table`` has a total rank, and with it a place on the axis."""
    return table["rank"].fillna(0).astype(int) > 0


def _barred(table: pd.DataFrame) -> pd.Series[bool]:
    """Whether each line of ``table`` has a spread that a band would not show: a band reaches from
    one rank of a series with a spread to the next, and horizontal rows have one from edge to
    edge."""
    several = (table["seeds"] > 1) & _ranked(table)
    series = several.groupby([table["series"], table["task"]])
    return several & ~(series.shift(1, fill_value=False) | series.shift(-1, fill_value=False))


def _spreads_in_words(table: pd.DataFrame, band: str) -> list[str]:
    """Return sentences on how spreads over seeds are drawn."""
    counts = table["seeds"].tolist()
    if max(counts) == 1:
        return ["One seed each."]
    barred = _barred(table)
    kinds = {"band": ((table["seeds"] > 1) & ~barred).any(), "bar": barred.any()}
    drawn = [kind for kind, there in kinds.items() if there]
    plural = " and ".join(f"{kind}s" for kind in drawn)
    said = [f"Lines: means; {plural}: {BANDS[band]} ({spread_in_words(counts)})."]
    if why := bare(table):
        said.append(f"Where there is no {' or '.join(drawn)}, {why}.")
    return said


def _caption(sheet: Sheet, settings: Settings, table: pd.DataFrame) -> str:
    seeds = {
        s for row in sheet.table.rows for t in sheet.table.tasks for s in row.scores.get(t, ())
    }
    parts = [sheet.caption(seeds), f"Scores: {sheet.scores}."]
    parts.append("Total rank: of all branches together.")
    parts += _spreads_in_words(table, settings.band)
    flat = ["without a total rank of branches"] * bool(table["rank"].eq(0).any())
    flat += ["of several sizes"] * bool(table["rank"].isna().any())
    parts += [f"Horizontal: rows {' or '.join(flat)}."] * bool(flat)
    inner = _layout(len(sheet.table.tasks))[2]
    panels = (lines for _, lines in table[_ranked(table)].groupby("task"))
    if any(any(_places(lines, inner)[0]) for lines in panels):
        parts.append(SIDE_BY_SIDE)
    return " ".join(parts)


def _layout(tasks: int) -> tuple[int, float, float]:
    """Return how many panels stand side by side, and inches of the picture and inside of one."""
    columns = min(tasks, 2 if tasks <= 4 else 4)
    width = COLUMN if columns <= 2 else PAGE
    return columns, width, (width - 0.6) / columns - 0.3


def plot(data: FigureData) -> Picture:
    """Draw one panel a task."""
    facts = data.facts or {}
    tasks: list[str] = facts["tasks"]
    columns, width, inner = _layout(len(tasks))
    rows = -(-len(tasks) // columns)
    labels = list(facts["looks"])
    high = 1.9 if columns == 1 else 1.5
    made = picture(width, high * rows + 0.3 + room(width, labels, data.warnings))
    grid = made.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(tasks) :]:
        axes.set_visible(False)
    handles: dict[str, Any] = {}
    for axes, task in zip(grid.flat, tasks, strict=False):
        handles |= _draw(axes, data.table[data.table["task"] == task], facts["looks"], inner)
        axes.set_title(in_lines(task, width / columns - 0.25))
    for number, (axes, task) in enumerate(zip(grid.flat, tasks, strict=False)):
        # Beside one that says the same it is not said again.
        left = number % columns == 0
        if left or facts["axes"][task] != facts["axes"][tasks[number - 1]]:
            axes.set_ylabel(in_lines(facts["axes"][task], high - 0.2))
    for axes in grid.flat[max(0, len(tasks) - columns) : len(tasks)]:
        axes.set_xlabel("total rank (log scale)")
    legend(made, {name: handles[name] for name in labels}, data.warnings)
    return made


def _draw(
    axes: Axes, table: pd.DataFrame, styles: Mapping[str, Mapping[str, Any]], width: float
) -> dict[str, Any]:
    from matplotlib.ticker import NullLocator

    handles = {}
    axes.set_xscale("log", base=2)
    ranks = sorted({*table[_ranked(table)]["rank"].astype(int)})
    axes.set_xticks(ranks, [str(rank) for rank in ranks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(axis="y")
    axes.margins(x=0.08)  # what is at the largest rank stays clear of marks at the edge
    for name, look in styles.items():
        lines = table[table["series"] == name]
        flat = lines[~_ranked(lines)]
        if len(flat):
            handles[name] = _draw_flat(axes, flat.iloc[0], look)
        elif len(lines):
            draw_band(axes, lines.astype({"rank": int}), "rank", look, marker="")
            (handles[name],) = axes.plot([], [], **look)
    _marks(axes, table[_ranked(table)], styles, width)
    return handles


def _draw_flat(axes: Axes, line: pd.Series[Any], look: Mapping[str, Any]) -> Any:
    """Draw a line from edge to edge, with its band, marked at its right end: a dash may be another
    row's too."""
    if line["seeds"] > 1:
        axes.axhspan(line["low"], line["high"], **shade(look))
    style = {"transform": axes.get_yaxis_transform(), "linewidth": 0.9, "clip_on": False, **look}
    (drawn,) = axes.plot([0, 1], [line["mean"]] * 2, markevery=[1], **style)
    return drawn


def _marks(
    axes: Axes, lines: pd.DataFrame, styles: Mapping[str, Mapping[str, Any]], width: float
) -> None:
    """Mark the ranks of each series, with a bar where a spread has no band, side by side where one
    would hide another."""
    from matplotlib.lines import Line2D

    shifts, low, high = _places(lines, width)
    for (_, line), *ends, shift in zip(lines.iterrows(), low, high, shifts, strict=True):
        style = {**styles[line["series"]], "transform": moved(axes, shift), "clip_on": False}
        bare = {**style, "linestyle": "none"}
        lead_back(axes, line["rank"], line["mean"], shift)
        # Not by plot, which would take the moved place for one to make room for.
        axes.add_artist(Line2D([line["rank"]], [line["mean"]], zorder=3, **bare))
        if ends[0] < ends[1]:
            axes.add_artist(Line2D([line["rank"]] * 2, ends, zorder=2.9, **{**style, **_BAR}))


def _places(lines: pd.DataFrame, width: float) -> tuple[list[float], list[float], list[float]]:
    """Return by how many points each mark is moved, and from where to where its bar reaches."""
    across = points([math.log2(rank) for rank in lines["rank"]], width)
    barred = _barred(lines)
    low, high = (lines[end].where(barred, lines["mean"]).tolist() for end in ("low", "high"))
    up, half = points([*low, *high], _HEIGHT), STEP / 2
    below, above = [y - half for y in up[: len(low)]], [y + half for y in up[len(low) :]]
    return side_by_side(across, below, above), low, high


FIGURE = CollectionFigure(
    name="ranks",
    title="scores against rank, one curve a method",
    data=data,
    plot=plot,
    settings=Settings,
    options=(*OPTIONS, OPTION),
)
