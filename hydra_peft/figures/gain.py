"""What methods gain over a baseline on each task, by group, seed against the same seed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra_peft.errors import UserError, did_you_mean
from hydra_peft.figures._base import CollectionFigure, FigureData
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

_MISSING = "no seed in common"
#: inches a bar takes
_BAR = 0.085
_HATCHES = ("", "////", "....", "xxxx")
#: bars that the title of a group takes the place of
_TITLE = 1.8


@dataclass(frozen=True)
class Settings(Selection):
    """Settings of this figure."""

    baseline: str = "lora"


def data(collection: Collection, settings: Settings) -> FigureData:
    """Return one line for each method but the baseline and each task, group mean and total mean.

    Columns: ``method``, ``baseline``, ``group``, ``name`` (of the task or mean), ``is_mean``,
    ``gain`` (percent points: the mean over shared seeds of the difference), ``std``, ``low`` and
    ``high`` (95% t interval of the paired differences), ``seeds`` (how many are shared; 0 where
    runs are missing). A mean over tasks is taken within each seed.

    Raises:
        UserError: no row, or more than one, is the baseline, or there is no other row.
    """
    import pandas as pd

    sheet = choose(collection, settings)
    baseline = _baseline(sheet, settings.baseline)
    others = [row for row in sheet.table.rows if row is not baseline]
    if not others:
        raise UserError(
            f"only {sheet.label(baseline)} has runs on {sheet.table.benchmark}, protocol "
            f"{sheet.table.protocol}{sheet.elsewhere}: there is no gain over it to draw."
        )
    lines = [line for row in others for line in _lines(sheet, row, baseline)]
    table = pd.DataFrame(lines)
    facts = {
        "baseline": sheet.label(baseline),
        "marks": sheet.marks,
        "looks": _fillings(looks([method_of(row) for row in others])),
    }
    return FigureData({"": table}, _caption(sheet, baseline, table), sheet.notes, facts)


def _fillings(styles: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return how bars are filled: where a colour comes again, it is hatched."""
    colours = [style["color"] for style in styles]
    seen = [colours[:at].count(colour) for at, colour in enumerate(colours)]
    return [
        {"color": colour, "hatch": _HATCHES[count % len(_HATCHES)]}
        for colour, count in zip(colours, seen, strict=True)
    ]


def _baseline(sheet: Sheet, name: str) -> Row:
    rows = sheet.table.rows
    found = [row for row in rows if name in (row.label, sheet.label(row))]
    found = found or [row for row in rows if method_of(row) == name]
    labels = [sheet.label(row) for row in rows]
    if not found:
        known = [*labels, *(method_of(row) for row in rows)]
        raise UserError(
            f"baseline={name}: no completed run is of it{did_you_mean(name, known)}; there are "
            f"{', '.join(labels)}{sheet.elsewhere}."
        )
    if len(found) > 1:
        listed = ", ".join(f"'{sheet.label(row)}'" for row in found)
        raise UserError(f"baseline={name} is several rows: name one of {listed}.")
    return found[0]


def _lines(sheet: Sheet, row: Row, baseline: Row) -> Iterator[dict[str, Any]]:
    from hydra_peft.tables.summaries import group_weights, task_weights

    tasks = sheet.table.tasks
    groups: dict[str, list[str]] = {}
    for task, group in tasks.items():
        groups.setdefault(group, []).append(task)
    start = {"method": sheet.label(row), "baseline": sheet.label(baseline)}
    for group, members in groups.items():
        for task in members:
            yield {**start, **_line(row, baseline, group, task, {task: 1.0}, False)}
        if len(members) > 1:
            weights = task_weights(dict.fromkeys(members, group))
            yield {**start, **_line(row, baseline, group, f"{group} mean", weights, True)}
    if len(tasks) > 1:
        weights = group_weights(tasks)
        name = "mean over groups" if len(groups) > 1 else "mean over tasks"
        if len(groups) > 1 or len(groups) < len(tasks):
            yield {**start, **_line(row, baseline, "", name, weights, True)}


def _line(
    row: Row, baseline: Row, group: str, name: str, weights: Mapping[str, float], is_mean: bool
) -> dict[str, Any]:
    from hydra_peft.tables.summaries import summarize

    line: dict[str, Any] = {"group": group, "name": name, "is_mean": is_mean}
    gains = _gains(row, baseline, weights)
    if not gains:
        return {**line, "gain": math.nan, "std": math.nan, "low": math.nan, "high": math.nan} | {
            "seeds": 0
        }
    found = summarize(gains)
    reach = half_width(found)
    return {
        **line,
        "gain": found.mean,
        "std": math.nan if found.std is None else found.std,
        "low": found.mean - reach,
        "high": found.mean + reach,
        "seeds": found.count,
    }


def _gains(row: Row, baseline: Row, weights: Mapping[str, float]) -> list[float]:
    """Return the difference of the weighted means for each seed that both have on every task."""
    both = [set(side.scores.get(task, {})) for side in (row, baseline) for task in weights]
    return [
        math.fsum(
            weight * (row.scores[task][seed] - baseline.scores[task][seed])
            for task, weight in weights.items()
        )
        for seed in sorted(set.intersection(*both))
    ]


def _caption(sheet: Sheet, baseline: Row, table: pd.DataFrame) -> str:
    counts = [int(count) for count in table["seeds"] if count]
    parts = [sheet.caption, f"Gain over {sheet.label(baseline)} of the same seed."]
    if counts and max(counts) > 1:
        parts.append(f"Bars: means and 95% t intervals over {in_words(counts)}.")
    if counts and min(counts) == 1:
        parts.append("Without a whisker: one seed.")
    if table["is_mean"].any():
        parts.append("Means over tasks, framed, are taken within each seed.")
    return " ".join(parts)


def plot(data: FigureData) -> Picture:
    """Draw horizontal bars, one colour a method, groups apart."""
    facts = data.facts or {}
    table = data.table
    methods = list(dict.fromkeys(table["method"]))
    missing = bool((table["seeds"] == 0).any())
    labels = [*methods, *[_MISSING] * missing]
    groups = dict(zip(table["name"], table["group"], strict=True))
    step = len(methods) + 0.6
    places, titles, at = _places(groups, step)
    made = picture(COLUMN, 0.55 + at * _BAR + room(COLUMN, labels, facts["marks"], data.caption))
    axes = made.add_subplot()
    handles: dict[str, Any] = {}
    for number, (method, look) in enumerate(zip(methods, facts["looks"], strict=True)):
        lines = table[table["method"] == method]
        offset = number - (len(methods) - 1) / 2
        handles[method] = _draw(axes, lines, {n: y + offset for n, y in places.items()}, look)
    if missing:
        gone = table[table["seeds"] == 0]
        marks = [places[n] + methods.index(m) - (len(methods) - 1) / 2 for n, m in _pairs(gone)]
        (handles[_MISSING],) = axes.plot([0.0] * len(marks), marks, "x", color=GREY, markersize=3.5)
    axes.axvline(0.0, color="black", linewidth=0.8)
    axes.set_yticks(list(places.values()), list(places))
    means = set(table[table["is_mean"]]["name"])
    for tick in axes.get_yticklabels():
        tick.set_fontweight("bold" if tick.get_text() in means else "normal")
    axes.tick_params(axis="y", length=0)
    for title, y in titles.items():
        axes.text(0.01, y, title, transform=axes.get_yaxis_transform(), style="italic", va="center")
    axes.set_ylim(at - step / 2 - 0.2, -step / 2 + 0.2)
    axes.grid(axis="x")
    axes.set_xlabel(f"gain over {facts['baseline']} (percentage points)")
    legend(made, handles, facts["marks"])
    footer(made, data.caption)
    return made


def _places(
    groups: Mapping[str, str], step: float
) -> tuple[dict[str, float], dict[str, float], float]:
    """Return where names and the titles of their groups stand, in bars from the top; the end."""
    places: dict[str, float] = {}
    titles: dict[str, float] = {}
    at = 0.0
    group: str | None = None
    for name, own in groups.items():
        if own != group:
            group = own
            if group:
                titles[group] = at + 0.95 - step / 2
            at += _TITLE if group else 0.5
        places[name] = at
        at += step
    return places, titles, at


def _pairs(lines: pd.DataFrame) -> Iterator[tuple[str, str]]:
    return zip(lines["name"], lines["method"], strict=True)


def _draw(
    axes: Axes, lines: pd.DataFrame, places: Mapping[str, float], look: Mapping[str, Any]
) -> Any:
    lines = lines[lines["seeds"] > 0]
    y = [places[name] for name in lines["name"]]
    edges = ["black" if is_mean else "white" for is_mean in lines["is_mean"]]
    bars = axes.barh(y, lines["gain"], height=0.9, edgecolor=edges, linewidth=0.7, **look)
    sure = lines[lines["seeds"] > 1]
    axes.errorbar(
        sure["gain"],
        [places[name] for name in sure["name"]],
        xerr=sure["high"] - sure["gain"],
        linestyle="none",
        color="black",
        elinewidth=0.7,
        capsize=1.5,
    )
    return bars


FIGURE = CollectionFigure(
    name="gain",
    title="gain over a baseline by task and group, paired by seed",
    data=data,
    plot=plot,
    settings=Settings,
    options=(
        *OPTIONS,
        "baseline=lora      a method, or a row by its label, such as 'lora r=4'",
    ),
)
