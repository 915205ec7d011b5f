"""Figure ``gain``: gains of methods over a baseline by task and group, paired by seed."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra_peft.figures._bands import bare
from hydra_peft.figures._base import CollectionFigure, FigureData
from hydra_peft.figures._looks import of_one_look
from hydra_peft.figures._pairing import (
    APART,
    NO_RUN,
    SPLIT,
    USUAL,
    candidates_of,
    gains_by_seed,
    mostly_there,
    paired_rows,
    shared_seeds,
    why_apart,
    why_missing,
)
from hydra_peft.figures._sheets import (
    OPTIONS,
    Selection,
    Sheet,
    choose,
    of_one_scale,
    part,
    some,
    spread_in_words,
)
from hydra_peft.figures._style import (
    COLUMN,
    GREY,
    PAGE,
    in_lines,
    legend,
    picture,
    room,
    text_width,
)
from hydra_peft.runs.selection import NAMES
from hydra_peft.tables.measures import joint_title

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

    from hydra_peft.runs.collection import Collection
    from hydra_peft.tables.rows import Row

#: marks of what has no gain to draw
_MISSING = {NO_RUN: "x", APART: "+", SPLIT: "1"}
#: where these marks stand, in widths of the axes: outside, where nothing is a gain
_OUTSIDE = 1.03
#: letters of the longest name that a picture of one column has room for
_LONG = 24
#: inches a mark takes
_BAR = 0.085
#: more marks than these belong to a name only where a line ends them
_FEW = 3
#: marks that the title of a group takes the place of
_TITLE = 1.8


@dataclass(frozen=True)
class Settings(Selection):
    """Settings of this figure."""

    baseline: str = USUAL


def data(collection: Collection, settings: Settings) -> FigureData:
    """Return one line for each method but the baseline and each task, group mean and total mean.

    Means are over the tasks that rows share, as in tables, and their names say of how many where
    more are drawn. Rows without runs on most of these, or without a seed in common with the
    baseline, are left out, and so are other tasks that most rows lack; the caption names them.

    Columns: ``method``, ``baseline``, ``group``, ``name`` (of the task or mean), ``is_mean``,
    ``metric``, ``gain`` (percent points, or the metric's unit: the mean over shared seeds of the
    difference, above zero where the method is better), ``std``, ``low`` and ``high`` (95% t
    interval of the paired differences, cut at the greatest that there can be), ``seeds`` (how many
    are shared), ``missing`` (why there is no gain, such as ``no run``; empty where there is one). A
    mean over tasks is taken within each seed.

    Raises:
        UserError: no row is the baseline, or no other row can be paired with it.
    """
    import pandas as pd

    from hydra_peft.tables.leaving_out import leaving_out

    sheet = of_one_scale(choose(collection, settings))
    wanted = {key: getattr(settings, key) for key in NAMES}
    out = functools.partial(leaving_out, collection, wanted)
    candidates = candidates_of(sheet, settings.baseline, out)
    baseline, others, tasks = paired_rows(sheet, candidates)
    twins = [sheet.label(row) for row in candidates if row is not baseline]
    kept = {id(row) for row in (baseline, *others)}
    drawn = mostly_there(sheet.table.tasks, others, baseline, tasks)
    rows = [row for row in sheet.table.rows if id(row) in kept]
    sheet = part(sheet, rows, drawn, lambda row: why_apart(row, baseline, drawn))
    lines = [line for row in others for line in _lines(sheet, row, baseline, tasks)]
    table = pd.DataFrame(lines)
    facts = {
        "baseline": sheet.label(baseline),
        "score": joint_title(sheet.table.own_measures),
        "unit": _unit(sheet),
        "looks": [sheet.look(row) for row in others],
    }
    shared = [shared_seeds(row, baseline) for row in others]
    seeds = {seed for by_task in shared for task in drawn for seed in by_task.get(task, ())}
    parts = [sheet.caption(seeds), _caption(sheet, baseline, table, tasks)]
    caption = " ".join([*parts, *of_one_look(sheet.look(row) for row in others)])
    if twins:
        caption += f" Other rows that baseline={settings.baseline} may mean: {some(twins)}."
    return FigureData({"": table}, caption, sheet.notes, facts, sheet.marks)


def _lines(
    sheet: Sheet, row: Row, baseline: Row, shared: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Yield the lines of ``row``: each task, and means over those that are ``shared``."""
    from hydra_peft.tables.summaries import task_weights, weights_over

    tasks = sheet.table.tasks
    groups: dict[str, list[str]] = {}
    for task, group in tasks.items():
        groups.setdefault(group, []).append(task)
    start = {"method": sheet.label(row), "baseline": sheet.label(baseline)}
    for group, members in groups.items():
        for task in members:
            yield {**start, **_line(sheet, row, baseline, group, task, {task: 1.0})}
        own = {task: group for task in members if task in shared}
        if len(own) > 1:
            weights = task_weights(own)
            mean = _over(f"{group} mean", own, members)
            yield {**start, **_line(sheet, row, baseline, group, mean, weights)}
    averaged = {task: group for task, group in tasks.items() if task in shared}
    name, over = sheet.table.about.main_mean
    if len(averaged if over == "tasks" else set(averaged.values())) > 1:
        weights = weights_over(over, averaged)
        mean = _over(name, averaged, tasks)
        yield {**start, **_line(sheet, row, baseline, "", mean, weights)}


def _over(mean: str, averaged: Sized, tasks: Sized) -> str:
    """Return the name of a ``mean``, which says so where it is not over all ``tasks`` drawn."""
    some_alone = len(averaged) < len(tasks)
    return f"{mean} ({len(averaged)} of {len(tasks)})" if some_alone else mean


def _line(
    sheet: Sheet, row: Row, baseline: Row, group: str, name: str, weights: Mapping[str, float]
) -> dict[str, Any]:
    from hydra_peft.tables.measures import mean_measure
    from hydra_peft.tables.summaries import summarize_differences

    measure = mean_measure(sheet.table.measures, weights)
    line: dict[str, Any] = {"group": group, "name": name, "is_mean": name not in weights}
    line |= {"metric": measure.title}
    gains = [measure.sign * gain for gain in gains_by_seed(row, baseline, weights)]
    if not gains:
        bare = dict.fromkeys(("gain", "std", "low", "high"), math.nan)
        return {**line, **bare, "seeds": 0, "missing": why_missing(row, baseline, weights)}
    found = summarize_differences(gains, measure.width)
    low, high = found.interval or (math.nan, math.nan)
    return {
        **line,
        "gain": found.value,
        "std": math.nan if found.std is None else found.std,
        "low": low,
        "high": high,
        "seeds": found.count,
        "missing": "",
    }


def _unit(sheet: Sheet) -> str:
    """Return what a gain is in: percentage points, or that less of the metric is a gain."""
    measures = sheet.table.own_measures
    if all(measure.in_percent for measure in measures):
        return "percentage points"
    return f"{measures[0].direction}: by how much" if measures[0].direction else "not in percent"


def _caption(sheet: Sheet, baseline: Row, table: pd.DataFrame, tasks: Sequence[str]) -> str:
    counts = [int(count) for count in table["seeds"] if count]
    parts = [
        f"Gain over {sheet.label(baseline)} of the same seed.",
        f"Scores: {sheet.scores}.",
    ]
    parts += [_direction(sheet), *sheet.left_out]
    if counts and max(counts) > 1:
        parts.append(f"Marks: means; bars: 95% t intervals over {spread_in_words(counts)}.")
    if why := bare(table[table["seeds"] > 0], "gains"):
        parts.append(f"Without a bar: {why}.")
    means = set(table[table["is_mean"]]["name"])
    if means:
        parts.append("Means, shaded, are taken within each seed.")
        if fewer := _of_fewer_seeds(table, tasks):
            parts.append(
                "They are over the seeds that have all of their tasks, which marks of single tasks "
                f"have more of: {some(fewer)}."
            )
    elif len(sheet.table.tasks) > 1:
        parts.append("No means: the rows have no seed in common on more than one of these tasks.")
    name, over = sheet.table.about.main_mean
    if over == "groups" and any(mean.startswith(name) for mean in means):
        parts.append(f"{name[:1].upper()}{name[1:]}: the mean of the groups' means.")
    if means and len(tasks) < len(sheet.table.tasks):
        parts.append(f"Means are over {some(tasks)}.")
    if missing := [reason for reason in _MISSING if reason in set(table["missing"])]:
        parts.append(f"Grey, right of the axes: no gain ({', '.join(missing)}).")
    return " ".join(filter(None, parts))


def _of_fewer_seeds(table: pd.DataFrame, tasks: Sequence[str]) -> list[str]:
    """Return the methods of which a mean is over fewer seeds than one of its ``tasks``."""
    found = []
    for method, lines in table.groupby("method", sort=False):
        single = lines[lines["name"].isin(tasks) & ~lines["is_mean"]]
        means = lines[lines["is_mean"] & (lines["seeds"] > 0)]
        most = [
            single[single["group"].eq(group) | (group == "")]["seeds"].max()
            for group in means["group"]
        ]
        if any(seeds < more for seeds, more in zip(means["seeds"], most, strict=True)):
            found.append(str(method))
    return found


def _direction(sheet: Sheet) -> str:
    lower = [measure.title for measure in sheet.table.own_measures if measure.sign < 0]
    return f"Of {', '.join(lower)} lower is better: a gain is by how much." if lower else ""


def plot(data: FigureData) -> Picture:
    """Draw a mark with its bar each method and task, groups apart, means on a shaded ground."""
    facts = data.facts or {}
    table = data.table
    methods = list(dict.fromkeys(table["method"]))
    missing = [reason for reason in _MISSING if reason in set(table["missing"])]
    labels = [*methods, *missing]
    groups = dict(zip(table["name"], table["group"], strict=True))
    step = len(methods) + 0.6
    places, titles, at = _places(groups, step)
    width = COLUMN if max(map(len, places)) <= _LONG else PAGE
    made = picture(width, 0.7 + at * _BAR + room(width, labels, data.warnings))
    axes = made.add_subplot()
    axes.axvline(0.0, color="black", linewidth=0.8, zorder=1)
    handles: dict[str, Any] = {}
    offsets = {name: number - (len(methods) - 1) / 2 for number, name in enumerate(methods)}
    for (method, offset), look in zip(offsets.items(), facts["looks"], strict=True):
        lines = table[table["method"] == method]
        handles[method] = _draw(axes, lines, {n: y + offset for n, y in places.items()}, look)
    handles |= _draw_missing(axes, table, places, offsets)
    _name(axes, places, titles)
    means = list(dict.fromkeys(table[table["is_mean"]]["name"]))
    for name in means:  # in their order, so that files repeat bit for bit
        axes.axhspan(places[name] - step / 2, places[name] + step / 2, color="#EEEEEE", zorder=0)
    if len(methods) > _FEW:
        for y in places.values():
            axes.axhline(y + step / 2, color="#DDDDDD", linewidth=0.5, zorder=0)
    for tick in axes.get_yticklabels():
        tick.set_fontweight("bold" if tick.get_text() in means else "normal")
    axes.set_ylim(at - step / 2 - 0.2, -step / 2 + 0.2)
    axes.grid(axis="x")
    label = f"gain in {facts['score']} over {facts['baseline']} ({facts['unit']})"
    # It stands below the axes, which leave room for the names at their left.
    axes.set_xlabel(in_lines(label, width - text_width(max([*places, *titles], key=len))))
    legend(made, handles, data.warnings)
    return made


def _name(axes: Axes, places: Mapping[str, float], titles: Mapping[str, float]) -> None:
    """Write the names of tasks and means beside ``axes``, those of groups in italics over them."""
    axes.set_yticks([*places.values(), *titles.values()], [*places, *titles])
    for tick in axes.get_yticklabels()[len(places) :]:
        tick.set_fontstyle("italic")
    axes.tick_params(axis="y", length=0)


def _places(
    groups: Mapping[str, str], step: float
) -> tuple[dict[str, float], dict[str, float], float]:
    """Return positions of task names and group titles, in marks from the top, and the end."""
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


def _draw_missing(
    axes: Axes, table: pd.DataFrame, places: Mapping[str, float], offsets: Mapping[str, float]
) -> dict[str, Any]:
    """Mark what has no gain outside ``axes``; return what a legend shows, by reason."""
    style: dict[str, Any] = {"color": GREY, "markersize": 3.5, "linestyle": "none"}
    style |= {"clip_on": False, "transform": axes.get_yaxis_transform()}
    handles: dict[str, Any] = {}
    for reason, mark in _MISSING.items():
        lines = table[table["missing"] == reason]
        up = [places[n] + offsets[m] for n, m in zip(lines["name"], lines["method"], strict=True)]
        if up:
            (handles[reason],) = axes.plot([_OUTSIDE] * len(up), up, marker=mark, **style)
    return handles


def _draw(
    axes: Axes, lines: pd.DataFrame, places: Mapping[str, float], look: Mapping[str, Any]
) -> Any:
    lines = lines[lines["seeds"] > 0]
    reach = [lines["gain"] - lines["low"], lines["high"] - lines["gain"]]
    y = [places[name] for name in lines["name"]]
    style = {**look, "linestyle": "none", "elinewidth": 0.8, "capsize": 1.5, "zorder": 3}
    return axes.errorbar(lines["gain"], y, xerr=reach, **style)


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
