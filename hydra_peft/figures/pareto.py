"""Accuracy against trainable parameters, the Pareto front, and the paper's points beside them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra_peft.errors import UserError
from hydra_peft.figures._base import CollectionFigure, FigureData
from hydra_peft.figures._paper import PaperPoint, paper_points
from hydra_peft.figures._sheets import (
    OPTIONS,
    Selection,
    Sheet,
    choose,
    half_width,
    in_words,
    legend,
    looks,
    method_of,
    room,
)
from hydra_peft.figures._style import COLUMN, GREY, footer, picture
from hydra_peft.tables.rows import Row, group_weights, task_weights

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

    from hydra_peft.runs.collection import Collection

_MEANS = {"groups": group_weights, "tasks": task_weights}
_FRONT = "Pareto front"
#: points closer than this factor are drawn this far apart
_NEAR = 1.05
_BARS = {"interval": "95% t intervals", "sd": "sample standard deviations"}


@dataclass(frozen=True)
class Settings(Selection):
    """Settings of this figure."""

    head: bool = True
    mean: str = "groups"
    bars: str = "interval"


def data(collection: Collection, settings: Settings) -> FigureData:
    """Return one line for each row that has runs on every task, and the paper's lines.

    Columns: ``source`` (``measured`` or ``paper``), ``label``, ``method``, parameters without and
    with the mean head, ``accuracy`` (percent, mean over tasks per seed, then over seeds), ``std``,
    ``low`` and ``high`` (what is drawn), ``seeds``, ``on_front``.

    Raises:
        UserError: no row has runs on every task, or a setting that does not exist.
    """
    import pandas as pd

    for key, known in (("mean", _MEANS), ("bars", _BARS)):
        if getattr(settings, key) not in known:
            raise UserError(
                f"{key}={getattr(settings, key)} is not known: it must be one of {', '.join(known)}."
            )
    sheet = choose(collection, settings)
    weights = _MEANS[settings.mean](sheet.table.tasks)
    lines, notes = [], []
    for row in sheet.table.rows:
        line = _line(sheet, row, weights, settings)
        if line is None:
            notes.append(f"left out: {sheet.label(row)} {_lacks(row, weights)}.")
        else:
            lines.append(line)
    if not lines:
        raise UserError(
            f"no method has runs on all of {', '.join(weights)}: give tasks=<those to compare on>."
        )
    lines += [_paper_line(point) for point in paper_points(sheet, weights, settings.head)]
    table = pd.DataFrame(lines)
    table["on_front"] = _on_front(table, _column(settings.head))
    facts = {"head": settings.head, "y": _y_label(sheet, settings), "marks": sheet.marks}
    caption = _caption(sheet, settings, table)
    return FigureData({"": table}, caption, (*notes, *sheet.notes), facts)


def _line(
    sheet: Sheet, row: Row, weights: dict[str, float], settings: Settings
) -> dict[str, Any] | None:
    found = row.mean(weights)
    if found is None:
        return None
    reach = half_width(found) if settings.bars == "interval" else found.std
    reach = math.nan if reach is None else reach
    head = sum(row.heads[task] for task in weights) / len(weights)
    return {
        "source": "measured",
        "label": sheet.label(row),
        "method": method_of(row),
        "parameters_without_head": row.adapter,
        "parameters_with_mean_head": row.adapter + head,
        "accuracy": found.mean,
        "std": math.nan if found.std is None else found.std,
        "low": found.mean - reach,
        "high": found.mean + reach,
        "seeds": found.count,
    }


def _paper_line(point: PaperPoint) -> dict[str, Any]:
    return {
        "source": "paper",
        "label": f"{point.label} (paper)",
        "method": point.method,
        "parameters_with_mean_head": point.parameters,
        "accuracy": point.accuracy,
    }


def _lacks(row: Row, weights: dict[str, float]) -> str:
    missing = [task for task in weights if task not in row.scores]
    if missing:
        return f"has no run on {', '.join(missing)}"
    return "has no seed with runs on every task"


def _column(head: bool) -> str:
    return "parameters_with_mean_head" if head else "parameters_without_head"


def _on_front(table: pd.DataFrame, column: str) -> list[bool]:
    """Whether no other measured row has as few parameters and as high an accuracy, or better."""
    measured = table[table["source"] == "measured"]
    front = []
    for index, line in table.iterrows():
        no_worse = (measured[column] <= line[column]) & (measured["accuracy"] >= line["accuracy"])
        better = (measured[column] < line[column]) | (measured["accuracy"] > line["accuracy"])
        front.append(index in measured.index and not bool((no_worse & better).any()))
    return front


def _y_label(sheet: Sheet, settings: Settings) -> str:
    tasks = sheet.table.tasks
    if len(tasks) == 1:
        return f"accuracy on {next(iter(tasks))} (%)"
    return f"accuracy, mean over {settings.mean} (%)"


def _caption(sheet: Sheet, settings: Settings, table: pd.DataFrame) -> str:
    measured = table[table["source"] == "measured"]
    counts = measured["seeds"].astype(int).tolist()
    parts = [sheet.caption, f"Tasks: {', '.join(sheet.table.tasks)}."]
    if max(counts) > 1:
        parts.append(f"Bars: {_BARS[settings.bars]} over {in_words(counts)}.")
    if (measured[_column(settings.head)] <= 0).any():
        parts.append("Dotted: no parameters but the head's.")
    x = measured[_column(settings.head)]
    if any(position != x[index] for index, position in _side_by_side(x).items()):
        parts.append("Points of one budget stand side by side.")
    if min(counts) == 1:
        parts.append("Points without a bar are one seed.")
    if (table["source"] == "paper").any():
        parts.append(
            "Hollow: as the paper printed, for the same tasks; not measured here, nor in the front."
        )
    return " ".join(parts)


def plot(data: FigureData) -> Picture:
    """Draw points with bars and the front behind them."""
    facts = data.facts or {}
    column = _column(facts["head"])
    table = data.table
    labels = [*table["label"], _FRONT]
    made = picture(COLUMN, 2.2 + room(COLUMN, labels, facts["marks"], data.caption))
    axes = made.add_subplot()
    axes.set_xscale("log")
    axes.grid(axis="both")
    measured = table[table["source"] == "measured"]
    styles = dict(zip(measured.index, looks(list(measured["method"])), strict=True))
    handles = {}
    x = _side_by_side(measured[column])
    for index, line in measured.iterrows():
        handles[line["label"]] = _draw_measured(axes, line, x[index], styles[index])
    for _, line in table[table["source"] == "paper"].iterrows():
        same = [styles[i] for i in measured.index if measured["method"][i] == line["method"]]
        look = same[0] if same else looks([line["method"]])[0]
        hollow = {"markerfacecolor": "white", "markeredgecolor": look["color"], "markersize": 5}
        (handles[line["label"]],) = axes.plot(
            line[column], line["accuracy"], look["marker"], linestyle="none", **hollow
        )
    handles |= _draw_front(axes, measured, column)
    axes.margins(x=0.12, y=0.12)
    _ticks(axes)
    axes.set_xlabel(f"trainable parameters {'with mean' if facts['head'] else 'without'} head")
    axes.set_ylabel(facts["y"])
    legend(made, handles, facts["marks"])
    footer(made, data.caption)
    return made


def _side_by_side(x: pd.Series[float]) -> dict[Any, float]:
    """Return where to draw points, so that equal budgets do not cover each other."""
    positions: dict[Any, float] = {}
    cluster: list[Any] = []
    for index, value in x.sort_values().items():
        if cluster and value > x[cluster[0]] * _NEAR:
            cluster = []
        cluster.append(index)
        middle = (len(cluster) - 1) / 2
        positions |= {i: x[i] * _NEAR ** (at - middle) for at, i in enumerate(cluster)}
    return positions


def _ticks(axes: Axes) -> None:
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    low, high = axes.get_xlim()
    few = high / low < 1e3
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _draw_front(axes: Axes, measured: pd.DataFrame, column: str) -> dict[str, Any]:
    front = measured[measured["on_front"] & (measured[column] > 0)].sort_values(column)
    if len(front) < 2:
        return {}
    style: dict[str, Any] = {"drawstyle": "steps-post", "color": GREY, "linewidth": 1.0}
    (line,) = axes.plot(front[column], front["accuracy"], zorder=1, **style)
    return {_FRONT: line}


def _draw_measured(axes: Axes, line: pd.Series[Any], x: float, look: dict[str, Any]) -> Any:
    if x <= 0:  # no place on a logarithmic axis
        return axes.axhline(line["accuracy"], color=look["color"], linestyle=":")
    reach = None if math.isnan(line["high"]) else line["high"] - line["accuracy"]
    bar: dict[str, Any] = {"capsize": 2, "elinewidth": 0.8, "linestyle": "none", "zorder": 3}
    colour, marker = look["color"], look["marker"]
    return axes.errorbar(x, line["accuracy"], yerr=reach, color=colour, marker=marker, **bar)


FIGURE = CollectionFigure(
    name="pareto",
    title="accuracy against trainable parameters, with the Pareto front",
    data=data,
    plot=plot,
    settings=Settings,
    options=(
        *OPTIONS,
        "head       whether parameters include the mean head, as the paper counts (default: true)",
        "mean       over groups, as the paper's, or tasks (default: groups)",
        "bars       interval (95%, over seeds) or sd (default: interval)",
    ),
)
