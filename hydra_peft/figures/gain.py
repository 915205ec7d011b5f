"""Figure ``gain``: gains of methods over a baseline by task and group, paired by seed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra_peft.errors import UserError, did_you_mean
from hydra_peft.figures._base import CollectionFigure, FigureData
from hydra_peft.figures._sheets import (
    OPTIONS,
    Selection,
    Sheet,
    choose,
    method_of,
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
from hydra_peft.listed import as_known
from hydra_peft.plain_text import in_a_row
from hydra_peft.runs.selection import NAMES, leaving_out
from hydra_peft.tables.called import labels_by_row
from hydra_peft.tables.complete import Seeds, shared_block
from hydra_peft.tables.measures import joint_title

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

    from hydra_peft.runs.collection import Collection
    from hydra_peft.tables.rows import Row

_MISSING = "no seed in common"
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

    baseline: str = "lora"


def data(collection: Collection, settings: Settings) -> FigureData:
    """Return one line for each method but the baseline and each task, group mean and total mean.

    Means are over the tasks that rows share, as in tables, and their names say of how many where
    more are drawn. Rows that cannot be paired with the
    baseline on most of these are left out, and so are other tasks that most rows lack; the caption
    names them.

    Columns: ``method``, ``baseline``, ``group``, ``name`` (of the task or mean), ``is_mean``,
    ``metric``, ``gain`` (percent points, or the metric's unit: the mean over shared seeds of the
    difference, above zero where the method is better), ``std``, ``low`` and ``high`` (95% t
    interval of the paired differences, cut at the greatest that there can be), ``seeds`` (how many
    are shared; 0 where runs are missing). A mean over tasks is taken within each seed.

    Raises:
        UserError: no row is the baseline, or no other row can be paired with it.
    """
    import pandas as pd

    sheet = of_one_scale(choose(collection, settings))
    wanted = {key: getattr(settings, key) for key in NAMES}
    out = leaving_out(collection, wanted, settings.baseline)
    candidates = _candidates(sheet, settings.baseline, out)
    baseline, others, tasks = _pair(sheet, candidates)
    twins = [sheet.label(row) for row in candidates if row is not baseline]
    kept = {id(row) for row in (baseline, *others)}
    drawn = _mostly_there(sheet.table.tasks, others, baseline, tasks)
    sheet = part(sheet, [row for row in sheet.table.rows if id(row) in kept], drawn)
    lines = [line for row in others for line in _lines(sheet, row, baseline, tasks)]
    table = pd.DataFrame(lines)
    facts = {
        "baseline": sheet.label(baseline),
        "score": joint_title(sheet.table.own_measures),
        "unit": _unit(sheet),
        "looks": [sheet.look(row) for row in others],
    }
    shared = [_shared(row, baseline) for row in others]
    seeds = {seed for by_task in shared for task in drawn for seed in by_task.get(task, ())}
    caption = f"{sheet.caption(seeds)} {_caption(sheet, baseline, table, tasks)}"
    if twins:
        caption += f" Other rows that baseline={settings.baseline} may mean: {some(twins)}."
    return FigureData({"": table}, caption, sheet.notes, facts, sheet.marks)


def _candidates(sheet: Sheet, name: str, out: str) -> list[Row]:
    """Return the rows that ``name`` may mean: that with this label, or all of the method.

    Args:
        out: what leaves its runs out.

    Raises:
        UserError: there is none.
    """
    rows = sheet.table.rows
    named = labels_by_row(sheet.part)
    name = as_known(name, {label for own in named.values() for label in own})
    found = [row for row in rows if name in named[id(row)] or name == sheet.label(row)]
    found = found or [row for row in rows if method_of(row) == name]
    if not found:
        labels = [sheet.label(row) for row in rows]
        known = [*labels, *(method_of(row) for row in rows)]
        why = f"no completed run is of it{did_you_mean(name, known)}; there are"
        if out:
            why = f"{out} leaves its completed runs out; what is left is"
        usual = name == Settings.baseline
        over = f"gains are over {name} where no baseline= is given" if usual else f"baseline={name}"
        raise UserError(f"{over}: {why} {in_a_row(labels)}{sheet.elsewhere}.")
    return found


def _pair(sheet: Sheet, candidates: Sequence[Row]) -> tuple[Row, list[Row], list[str]]:
    """Return the baseline, the rows beside it, and the tasks of means.

    Of those that have at least half as many runs to pair as another, the baseline is the one
    whose label says the least, in words. Rows that lack less than half of these tasks are
    among them; they have no mean.

    Raises:
        UserError: no other row has a task and a seed in common with any of ``candidates``.
    """
    found = [(row, *_paired(sheet, row)) for row in candidates]
    most = max(size for _, size, _, _ in found)
    if not most:
        raise UserError(
            f"no other row has a task and a seed in common with {sheet.label(candidates[0])} on "
            f"{sheet.table.benchmark}, protocol {sheet.table.protocol}{sheet.elsewhere}: there is "
            "no gain over it to draw."
        )
    rich = [one for one in found if 2 * one[1] >= most]
    baseline, _, others, tasks = min(
        rich, key=lambda one: (len(sheet.label(one[0]).split()), -one[1])
    )
    return baseline, others, tasks


def _paired(sheet: Sheet, baseline: Row) -> tuple[int, list[Row], list[str]]:
    """Return how many runs can be paired with ``baseline``, of which rows, and the tasks of means.

    None can where there is no other row.
    """
    rows, tasks = sheet.table.rows, list(sheet.table.tasks)
    at = next(at for at, row in enumerate(rows) if row is baseline)
    shared = [_shared(row, baseline) for row in rows]
    found, kept = shared_block(shared, tasks, with_row=at)
    there = [sum(bool(seeds.get(task)) for task in kept) for seeds in shared]
    near = [row for row, count in zip(rows, there, strict=True) if 2 * count > len(kept)]
    others = [row for row in near if row is not baseline]
    return len(found) * len(kept) if others else 0, others, kept


def _mostly_there(
    tasks: Mapping[str, str], others: Sequence[Row], baseline: Row, averaged: Sequence[str]
) -> list[str]:
    """Return ``averaged`` and the other tasks on which most rows can be paired."""
    shared = [_shared(row, baseline) for row in others]
    counts = {task: sum(bool(seeds.get(task)) for seeds in shared) for task in tasks}
    return [task for task in tasks if task in averaged or 2 * counts[task] > len(others)]


def _shared(row: Row, baseline: Row) -> Seeds:
    """Return the seeds by task that both rows have."""
    return {
        task: seeds.keys() & baseline.scores.get(task, {}).keys()
        for task, seeds in row.scores.items()
    }


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
    gains = [measure.sign * gain for gain in _gains(row, baseline, weights)]
    if not gains:
        return {**line, "gain": math.nan, "std": math.nan, "low": math.nan, "high": math.nan} | {
            "seeds": 0
        }
    found = summarize_differences(gains, measure.width)
    low, high = found.interval or (math.nan, math.nan)
    return {
        **line,
        "gain": found.value,
        "std": math.nan if found.std is None else found.std,
        "low": low,
        "high": high,
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
    if counts and min(counts) == 1:
        parts.append("Without a bar: one seed.")
    means = set(table[table["is_mean"]]["name"])
    if means:
        parts.append("Means, shaded, are taken within each seed.")
    elif len(sheet.table.tasks) > 1:
        parts.append("No means: the rows have no seed in common on more than one of these tasks.")
    name, over = sheet.table.about.main_mean
    if over == "groups" and any(mean.startswith(name) for mean in means):
        parts.append(f"{name[:1].upper()}{name[1:]}: the mean of the groups' means.")
    if means and len(tasks) < len(sheet.table.tasks):
        parts.append(f"Means are over {some(tasks)}.")
    return " ".join(filter(None, parts))


def _direction(sheet: Sheet) -> str:
    lower = [measure.title for measure in sheet.table.own_measures if measure.sign < 0]
    return f"Of {', '.join(lower)} lower is better: a gain is by how much." if lower else ""


def plot(data: FigureData) -> Picture:
    """Draw a mark with its bar each method and task, groups apart, means on a shaded ground."""
    facts = data.facts or {}
    table = data.table
    methods = list(dict.fromkeys(table["method"]))
    missing = bool((table["seeds"] == 0).any())
    labels = [*methods, *[_MISSING] * missing]
    groups = dict(zip(table["name"], table["group"], strict=True))
    step = len(methods) + 0.6
    places, titles, at = _places(groups, step)
    width = COLUMN if max(map(len, places)) <= _LONG else PAGE
    made = picture(width, 0.7 + at * _BAR + room(width, labels, data.warnings))
    axes = made.add_subplot()
    axes.axvline(0.0, color="black", linewidth=0.8, zorder=1)
    handles: dict[str, Any] = {}
    for number, (method, look) in enumerate(zip(methods, facts["looks"], strict=True)):
        lines = table[table["method"] == method]
        offset = number - (len(methods) - 1) / 2
        handles[method] = _draw(axes, lines, {n: y + offset for n, y in places.items()}, look)
    if missing:
        gone = table[table["seeds"] == 0]
        marks = [places[n] + methods.index(m) - (len(methods) - 1) / 2 for n, m in _pairs(gone)]
        (handles[_MISSING],) = axes.plot([0.0] * len(marks), marks, "x", color=GREY, markersize=3.5)
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


def _pairs(lines: pd.DataFrame) -> Iterator[tuple[str, str]]:
    return zip(lines["name"], lines["method"], strict=True)


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
