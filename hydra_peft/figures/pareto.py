"""Accuracy against trainable parameters, the Pareto front, and the paper's points beside them."""

from __future__ import annotations

import math
from collections.abc import Mapping
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

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

    from hydra_peft.runs.collection import Collection
    from hydra_peft.tables.rows import Row

_MEANS = ("groups", "tasks")
_FRONT = "Pareto front"
#: so many points within such a share of the axis are a crowd
_MANY, _NEAR = 3, 0.05
_BARS = {"interval": "95% t intervals", "sd": "sample standard deviations"}


@dataclass(frozen=True)
class Settings(Selection):
    """Settings of this figure."""

    head: bool = True
    mean: str = "groups"
    bars: str = "interval"


def data(collection: Collection, settings: Settings) -> FigureData:
    """Return one line for each row that has runs on every task, and the paper's lines.

    Columns: ``source`` (``measured`` or ``paper``), ``label``, ``series`` (the label without
    ranks), ``method``, parameters without and with the mean head, ``accuracy`` (percent, mean over
    tasks per seed, then over seeds), ``std``, ``low`` and ``high`` (what is drawn), ``seeds``,
    ``on_front``.

    Raises:
        UserError: no row has runs on every task, or a setting that does not exist.
    """
    import pandas as pd

    from hydra_peft.tables.summaries import group_weights, task_weights

    for key, known in (("mean", _MEANS), ("bars", _BARS)):
        value = getattr(settings, key)
        if value not in known:
            raise UserError(f"{key}={value} is not known: it must be one of {', '.join(known)}.")
    sheet = choose(collection, settings)
    weigh = group_weights if settings.mean == "groups" else task_weights
    weights = weigh(sheet.table.tasks)
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
    if not (table[_column(settings.head)] > 0).any():
        raise UserError("no method has parameters beside its head: give head=true.")
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
        "series": sheet.label(row, rank=False),
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
        "series": f"{point.label} (paper)",
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
    x = table[_column(settings.head)]
    parts = [sheet.caption, f"Mean over {sheet.tasks_in_words}."]
    if max(counts) > 1:
        parts.append(f"Bars: {_BARS[settings.bars]} over {in_words(counts)}.")
    if min(counts) == 1:
        parts.append("Without a bar: one seed.")
    if (table["on_front"] & (x > 0)).sum() > 1:
        parts.append("Front: of the measured means, however wide their bars.")
    if (measured["series"].value_counts() > 1).any():
        parts.append("Several points of one look: ranks of one method.")
    if (x <= 0).any():
        parts.append("Dotted: no parameters but the head's.")
    if _crowd(x):
        parts.append("Enlarged, points of one budget stand side by side.")
    if (table["source"] == "paper").any():
        parts.append("Hollow: the paper's, as printed for these tasks; not measured here.")
    return " ".join(parts)


def plot(data: FigureData) -> Picture:
    """Draw points with bars and the front behind them; where many crowd, those again below."""
    facts = data.facts or {}
    x = data.table[_column(facts["head"])]
    crowd = _crowd(x)
    labels = [*dict.fromkeys(_names(data.table)), _FRONT]
    height = (3.6 if crowd else 2.2) + room(COLUMN, labels, facts["marks"], data.caption)
    made = picture(COLUMN, height)
    panels = made.subplots(1 + bool(crowd), squeeze=False)[:, 0]
    styles = _styles(data.table)
    handles = _draw_panel(panels[0], data.table, x, styles)
    panels[0].set_xscale("log")
    _ticks(panels[0])
    if crowd:
        _draw_panel(panels[1], data.table.loc[crowd], _apart(data.table.loc[crowd], x), styles)
        panels[1].set_xlabel("the same, where they crowd, enlarged")
        _thousands(panels[1])
    for axes in panels:
        axes.grid(axis="both")
        axes.margins(x=0.12, y=0.12)
    head = "with mean" if facts["head"] else "without"
    panels[0].set_xlabel(f"trainable parameters {head} head")
    made.supylabel(facts["y"])
    legend(made, handles, facts["marks"])
    footer(made, data.caption)
    return made


def _crowd(x: pd.Series[float]) -> list[Any]:
    """Return the points that would cover each other on an axis with all; none where few do."""
    places = x[x > 0].astype(float).map(math.log).sort_values()
    near = _NEAR * (places.iloc[-1] - places.iloc[0])
    crowds: list[list[Any]] = [[]]
    for index, place in places.items():
        if crowds[-1] and place - places[crowds[-1][0]] > near:
            crowds.append([])
        crowds[-1].append(index)
    largest = max(crowds, key=len)
    return largest if _MANY <= len(largest) < len(places) else []


def _apart(lines: pd.DataFrame, x: pd.Series[float]) -> pd.Series[float]:
    """Return where to draw ``lines`` so that equal budgets do not cover each other."""
    own = x[lines.index].astype(float).sort_values()
    least = 0.04 * (own.iloc[-1] - own.iloc[0])
    moved = own.copy()
    group: list[Any] = []
    for index in own.index[lines.loc[own.index, "source"] == "measured"]:
        if group and own[index] - own[group[0]] > least:
            group = []
        group.append(index)
        for at, member in enumerate(group):
            moved[member] = own[member] + (at - (len(group) - 1) / 2) * least
    return moved


def _styles(table: pd.DataFrame) -> dict[Any, dict[str, Any]]:
    """Return the look of each line: one a series; the paper's take that of their method."""
    measured = table[table["source"] == "measured"].drop_duplicates("series")
    series = dict(zip(measured["series"], looks(list(measured["method"])), strict=True))
    paper = {line["series"]: looks([line["method"]])[0] for _, line in table.iterrows()}
    return {index: {**paper, **series}[name] for index, name in table["series"].items()}


def _names(table: pd.DataFrame) -> list[str]:
    """Return what the legend says of each line: its label, or the series of several ranks."""
    counts = table["series"].value_counts()
    return [
        label if counts[name] == 1 else f"{name}, {counts[name]} ranks"
        for label, name in zip(table["label"], table["series"], strict=True)
    ]


def _draw_panel(
    axes: Axes,
    table: pd.DataFrame,
    x: pd.Series[float],
    styles: Mapping[Any, Mapping[str, Any]],
) -> dict[str, Any]:
    measured = table[table["source"] == "measured"]
    handles: dict[str, Any] = {}
    names = dict(zip(table.index, _names(table), strict=True))
    for index, line in measured.iterrows():
        handles[names[index]] = _draw_measured(axes, line, x[index], styles[index])
    for index, line in table[table["source"] == "paper"].iterrows():
        look = styles[index]
        style: dict[str, Any] = {"markerfacecolor": "none", "markeredgecolor": look["color"]}
        style |= {"markersize": 5.5, "linestyle": "none", "zorder": 4}
        (handles[names[index]],) = axes.plot(x[index], line["accuracy"], look["marker"], **style)
    front = measured[measured["on_front"] & (x[measured.index] > 0)]
    if len(front) > 1:
        places = x[front.index].sort_values()
        style = {"drawstyle": "steps-post", "color": GREY, "linewidth": 1.0, "zorder": 1}
        (handles[_FRONT],) = axes.plot(places, front["accuracy"][places.index], **style)
    return handles


def _ticks(axes: Axes) -> None:
    from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter

    low, high = axes.get_xlim()
    few = high / low < 1e3
    narrow = high / low < 3
    logarithmic = LogLocator(subs=(1, 2, 5) if few else (1,))
    axes.xaxis.set_major_locator(MaxNLocator(5) if narrow else logarithmic)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _thousands(axes: Axes) -> None:
    from matplotlib.ticker import EngFormatter, MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def _draw_measured(axes: Axes, line: pd.Series[Any], x: float, look: Mapping[str, Any]) -> Any:
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
        "head=false         count parameters without the head (default: with, as the paper counts)",
        "mean=tasks         plain mean over tasks (default: groups, the mean of their means)",
        "bars=sd            sample standard deviation (default: interval, 95% over seeds)",
    ),
)
