"""Scores against trainable parameters, the Pareto front, and the paper's points beside them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra_peft.checkout import PUBLISHED
from hydra_peft.config.benchmarks import OVER
from hydra_peft.errors import UserError
from hydra_peft.figures._bands import bare
from hydra_peft.figures._base import CollectionFigure, FigureData
from hydra_peft.figures._looks import looks, of_one_look
from hydra_peft.figures._points import FRONT, SIDE_BY_SIDE, draw_points, is_line, shifts
from hydra_peft.figures._sheets import (
    OPTIONS,
    Selection,
    Sheet,
    choose,
    complete_part,
    in_words,
    method_of,
    of_one_scale,
    series_of,
    some,
)
from hydra_peft.figures._style import COLUMN, PAGE, legend, picture, room
from hydra_peft.tables.measures import axis
from hydra_peft.tables.published import read_published

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure as Picture

    from hydra_peft.runs.collection import Collection
    from hydra_peft.tables.rows import Row
    from hydra_peft.tables.summaries import Summary

#: so many points within such a share of the axis are a crowd
_MANY, _NEAR = 3, 0.05
#: names in a legend of one column; more take the width of a page
_SOME = 12
_HOLLOW = {"fillstyle": "none", "markersize": 5.5}
_BARE = "no parameters but the head's"
_BARS = {"interval": "95% intervals", "sd": "sample standard deviations"}


@dataclass(frozen=True)
class Settings(Selection):
    """Settings of this figure."""

    head: bool = True
    mean: str = ""
    bars: str = "interval"


def data(collection: Collection, settings: Settings) -> FigureData:
    """Return one line for each row that has runs on every task, and the paper's lines.

    Where no ``tasks`` are given these are as many tasks and rows as have runs on each other; the
    caption names the others.

    Columns: ``source`` (``measured`` or ``paper``), ``label``, ``series`` (the label without
    ranks), ``method``, parameters without and with the mean head, ``metric``, ``score`` (mean over
    tasks per seed, then over seeds; in percent where the metric is), ``std``, ``low`` and ``high``
    (what is drawn), ``seeds``, ``on_front``.

    Raises:
        UserError: no row has runs on all ``tasks``, or a setting that does not exist.
    """
    import pandas as pd

    from hydra_peft.tables.measures import mean_measure
    from hydra_peft.tables.summaries import weights_over

    for key, known in (("mean", ("", *OVER)), ("bars", _BARS)):
        value = getattr(settings, key)
        if value not in known:
            listed = ", ".join(filter(None, known))
            raise UserError(f"{key}={value} is not known: it must be one of {listed}.")
    chosen = of_one_scale(choose(collection, settings))
    sheet = complete_part(chosen, asked=bool(settings.tasks))
    over = settings.mean or sheet.table.about.main_mean[1]
    weights = weights_over(over, sheet.table.tasks)
    series = series_of(sheet)
    names = {id(row): name for name, rows in series.items() for row in rows}
    lines = [
        {**_line(sheet, row, weights, settings), "series": names[id(row)]}
        for row in sheet.table.rows
    ]
    lines += _paper_lines(sheet, weights, settings.head)
    table = pd.DataFrame(lines)
    measure = mean_measure(sheet.table.measures, weights)
    table["metric"] = measure.title
    if not (table[_column(settings.head)] > 0).any():
        if settings.head:
            raise UserError("none of these methods trains anything: there are no sizes to compare.")
        raise UserError("no method has parameters beside its head: give head=true.")
    table["on_front"] = _on_front(table, _column(settings.head), measure.sign)
    facts = {
        "head": settings.head,
        "y": _y_label(sheet, over),
        "looks": {name: sheet.look(*rows) for name, rows in series.items()} | _paper_looks(table),
    }
    seeds = {seed for row in sheet.table.rows for seed in row.by_seed(weights)}
    caption = f"{sheet.caption(seeds)} {_caption(sheet, settings, table, over)}"
    return FigureData({"": table}, caption, sheet.notes, facts, sheet.marks)


def _line(sheet: Sheet, row: Row, weights: dict[str, float], settings: Settings) -> dict[str, Any]:
    from hydra_peft.tables.mean_heads import mean_head

    found = row.mean(weights)
    assert found is not None  # what is complete has a mean
    low, high = _reach(found, settings.bars)
    return {
        "source": "measured",
        "label": sheet.label(row),
        "method": method_of(row),
        "parameters_without_head": row.adapter,
        "parameters_with_mean_head": row.adapter + mean_head(sheet.part, row),
        "score": found.value,
        "std": math.nan if found.std is None else found.std,
        "low": low,
        "high": high,
        "seeds": found.count,
    }


def _reach(found: Summary, bars: str) -> tuple[float, float]:
    """Return from where to where a bar reaches; NaN for one seed."""
    if found.std is None:
        return math.nan, math.nan
    if bars == "sd":
        return found.value - found.std, found.value + found.std
    return found.interval or (math.nan, math.nan)


def _paper_looks(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Return hollow marks for the paper's series."""
    paper = table[table["source"] == "paper"]
    return {line["series"]: looks([line["method"]])[0] | _HOLLOW for _, line in paper.iterrows()}


def _paper_lines(sheet: Sheet, weights: dict[str, float], head: bool) -> list[dict[str, Any]]:
    """Return the paper's rows for the tasks of ``sheet``, as lines of the table.

    Nothing where parameters or the sheet's backbone, weights or data are of another kind.

    Args:
        sheet: what the points stand beside.
        weights: of the tasks in the mean; the printed cells are weighted alike.
        head: whether the picture counts the head's parameters, as the printed numbers do.

    Raises:
        UserError: the published table is missing or damaged.
    """
    from hydra_peft.tables.measures import measure_of

    paper, table = sheet.table.about.paper, sheet.table
    alike = head and not sheet.marks and table.rows[0].model == paper.model
    alike = alike and all(table.measures[t] == measure_of(paper.metric(t)) for t in table.tasks)
    lines: list[dict[str, Any]] = []
    for spec in paper.scores.values():
        for row in read_published(PUBLISHED / spec.csv).rows if alike and spec.with_head else ():
            parameters, score = row.numbers["params_m"], row.mean(weights)
            if row.label in spec.with_head and parameters and score is not None:
                label = f"{row.label} (paper)"
                line = {"source": "paper", "label": label, "series": label}
                line |= {"method": str(spec.rows[row.label]["name"])}
                head_in = {"parameters_with_mean_head": parameters.value * 1e6}
                lines.append({**line, **head_in, "score": score})
    return lines


def _column(head: bool) -> str:
    return "parameters_with_mean_head" if head else "parameters_without_head"


def _on_front(table: pd.DataFrame, column: str, sign: int) -> list[bool]:
    """Whether no other measured row has as few parameters and as good a score, or better."""
    table = table.assign(score=sign * table["score"])
    measured = table[table["source"] == "measured"]
    front = []
    for index, line in table.iterrows():
        no_worse = (measured[column] <= line[column]) & (measured["score"] >= line["score"])
        better = (measured[column] < line[column]) | (measured["score"] > line["score"])
        front.append(index in measured.index and not bool((no_worse & better).any()))
    return front


def _y_label(sheet: Sheet, over: str) -> str:
    tasks, measures = sheet.table.tasks, sheet.table.own_measures
    if len(tasks) == 1:
        return axis(measures, f" on {next(iter(tasks))}")
    return axis(measures, f", mean over {over}")


def _caption(sheet: Sheet, settings: Settings, table: pd.DataFrame, over: str) -> str:
    measured = table[table["source"] == "measured"]
    x, several = table[_column(settings.head)], len(sheet.table.tasks) > 1
    parts = [
        f"Scores: {sheet.scores}.",
        f"Mean over {'groups of ' * (over == 'groups' and several)}{sheet.tasks_in_words}.",
        *sheet.left_out,
    ]
    if sheet.table.about.over_seeds == "median":
        parts.append("Points: medians over seeds.")
    barred = measured["low"].notna()
    if barred.any():
        seeds = in_words(measured["seeds"][barred].astype(int).tolist())
        parts.append(f"Bars: {_BARS[settings.bars]} over {seeds}.")
    if why := bare(measured):
        parts.append(f"Without a bar: {why}.")
    front = table.assign(x=x)[table["on_front"]]
    if is_line(front[front["x"] > 0]):
        parts.append("Front: of the measured means, however wide their bars.")
    elif len(front):
        parts.append(f"Front of the measured means, no line: {some(list(front['label']))}.")
    if (measured["series"].value_counts() > 1).any():
        parts.append("Several points of one look: ranks of one method.")
    series = series_of(sheet)
    parts += of_one_look(sheet.look(*rows) for rows in series.values())
    if sized := [sheet.label(row) for row in sheet.table.rows if len(set(row.sizes)) > 1]:
        parts.append(f"Of several sizes, at the mean of their runs' parameters: {some(sized)}.")
    if (x <= 0).any():
        parts.append(f"Dotted: {'nothing trained' if settings.head else _BARE}.")
    if any(any(moves.values()) for moves in _panels(table, settings.head)[2]):
        parts.append(SIDE_BY_SIDE)
    if (table["source"] == "paper").any():
        parts.append("Hollow: the paper's, as printed for these tasks; not measured here.")
    return " ".join(parts)


def plot(data: FigureData) -> Picture:
    """Draw points with bars and the front behind them; where many crowd, those again below."""
    facts = data.facts or {}
    lines, crowd, right = _panels(data.table, facts["head"])
    labels = [*dict.fromkeys(lines["name"]), FRONT]
    width = COLUMN if len(labels) <= _SOME else PAGE
    height = (3.6 if len(crowd) else 2.6) + room(width, labels, data.warnings)
    made = picture(width, height)
    panels = made.subplots(1 + bool(len(crowd)), squeeze=False)[:, 0]
    handles = draw_points(panels[0], lines, facts["looks"], right[0], logarithmic=True)
    if len(crowd):
        draw_points(panels[1], crowd, facts["looks"], right[1], logarithmic=False)
        panels[1].set_xlabel("the same, where they crowd (linear scale)")
    head = "with mean" if facts["head"] else "without"
    panels[0].set_xlabel(f"trainable parameters {head} head (log scale)")
    label = made.supylabel(facts["y"])
    legend(made, handles, data.warnings)
    made.draw_without_rendering()  # where the panels are depends on how long the legend is
    top, bottom = panels[0].get_position().y1, panels[-1].get_position().y0
    label.set_y((top + bottom) / 2)
    return made


def _panels(
    table: pd.DataFrame, head: bool
) -> tuple[pd.DataFrame, pd.DataFrame, list[dict[Any, float]]]:
    """Return the lines of both panels, and by how many points each is moved there."""
    lines = table.assign(x=table[_column(head)], name=_names(table))
    crowd = _crowd(lines)
    # What the second panel shows apart is where it is in the first.
    rest = lines.drop(index=crowd.index)
    moves = [shifts(rest, logarithmic=True), shifts(crowd, logarithmic=False)]
    return lines, crowd, moves


def _crowd(lines: pd.DataFrame) -> pd.DataFrame:
    """Return the points that would cover each other on an axis with all; none where few do."""
    places = lines["x"][lines["x"] > 0].astype(float).map(math.log).sort_values()
    near = _NEAR * (places.iloc[-1] - places.iloc[0])
    crowds: list[list[Any]] = [[]]
    for index, place in places.items():
        if crowds[-1] and place - places[crowds[-1][0]] > near:
            crowds.append([])
        crowds[-1].append(index)
    # Points at one and the same place are beside each other there, too.
    largest = max((crowd for crowd in crowds if places[crowd].nunique() > 1), key=len, default=[])
    return lines.loc[largest if _MANY <= len(largest) < len(places) else []]


def _names(table: pd.DataFrame) -> list[str]:
    """Return the legend's name of each line: its label, or the series of several ranks."""
    counts = table["series"].value_counts()
    return [
        label if counts[name] == 1 else f"{name}, {counts[name]} ranks"
        for label, name in zip(table["label"], table["series"], strict=True)
    ]


FIGURE = CollectionFigure(
    name="pareto",
    title="scores against trainable parameters, with the Pareto front",
    data=data,
    plot=plot,
    settings=Settings,
    options=(
        *OPTIONS,
        "head=false         count parameters without the head (default: with, as the paper counts)",
        "mean=tasks         plain mean over tasks; groups: mean of their means (default: what the",
        "                   last of the benchmark's means is over)",
        "bars=sd            sample standard deviation (default: interval, 95% over seeds)",
    ),
)
