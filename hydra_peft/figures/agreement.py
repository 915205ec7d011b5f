"""Figure ``agreement``: whether methods make different mistakes, and what their ensembles gain."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING, Any

from hydra_peft.errors import UserError
from hydra_peft.figures._base import CollectionFigure, FigureData
from hydra_peft.figures._ensembles import (
    MEAN,
    METHODS,
    MOST,
    SEEDS,
    EnsembleLine,
    Values,
    combine,
    compare,
    ensemble_lines,
    memberships,
    pair_lines,
)
from hydra_peft.figures._matrix import (
    BESIDE,
    NUMBERED,
    draw_matrix,
    numbered_names,
    row_heights,
    write_numbers,
)
from hydra_peft.figures._predictions import beside, predictions_by_task, with_predictions
from hydra_peft.figures._sheets import (
    OPTIONS,
    Selection,
    Sheet,
    choose,
    complete_part,
    of_one_scale,
)
from hydra_peft.figures._style import GREY, PAGE, in_lines, picture
from hydra_peft.plain_text import in_a_row
from hydra_peft.tables.measures import joint_title

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

    from hydra_peft.runs.collection import Collection

#: what is said of the seeds of pairs of two methods, by what they are
_SEEDS_OF_TWO = {
    "different": "Pairs of methods are of different seeds.",
    "same": "Pairs of methods are of the same seed.",
    "different same": "Pairs of methods are of different seeds, some of the same where no others "
    "are there.",
}
#: inches of the matrix without names and numbers beside it
_WIDE = 2.2
#: inches of the gains below it
_STRIPS = 1.8


@dataclass(frozen=True)
class Settings(Selection):
    """Settings of this figure: the most members that an ensemble has."""

    members: int = 3


def data(collection: Collection, settings: Settings) -> FigureData:
    """Return one line for each pair of methods, one of a method with itself too, and each task.

    Runs of two methods are compared where their seeds differ, as those of one method do: then
    batches and initial heads differ in both kinds of pair alike. Where no seeds differ, runs of
    the same seed are compared, and ``seeds`` says ``same``.

    Columns: ``method``, ``other``, ``task`` (or :data:`MEAN`, taken within each pair of seeds),
    ``agreement`` (percent of examples with the same predicted class) and ``shared_mistakes``
    (percent that both get wrong of those that either gets wrong), each with ``_low`` and
    ``_high``, the least and greatest over pairs of seeds; ``seeds``, ``pairs``.

    Table ``ensembles``: means of the probabilities of two or more runs of different seeds of one
    method (``of`` says which it is), or of one run each of several methods, their seeds all
    different where there are enough. Columns ``members``, ``of``, ``size``, ``task``, ``score``
    (the task's primary metric), ``mean_member``, ``best_member``, ``gain`` (over the best member,
    chosen by this very score), ``gain_low``, ``gain_high``, ``gain_over_mean``, ``draws`` (of
    seeds), ``ties`` (examples with two most probable classes, of which the first counts).

    Raises:
        UserError: a setting is out of range, or no two runs kept predictions of one task.
    """
    import pandas as pd

    if not 2 <= settings.members <= 9:
        raise UserError(f"members={settings.members}: an ensemble has 2 to 9 members.")
    kept, others = with_predictions(collection, settings)
    sheet = of_one_scale(beside(choose(kept, settings), others, collection.defaults))
    sheet = complete_part(sheet, asked=bool(settings.tasks))
    methods = [sheet.label(row) for row in sheet.table.rows]
    groups, untold = memberships(methods, settings.members)
    pairs: dict[tuple[str, str], dict[str, Values]] = {}
    gains: dict[tuple[str, ...], dict[str, Values]] = {}
    for task, runs in predictions_by_task(sheet):
        sign = sheet.table.measures[task].sign
        for pair in combinations_with_replacement(methods, 2):
            pairs.setdefault(pair, {})[task] = compare(runs, pair)
        for group in groups:
            gains.setdefault(group, {})[task] = combine(runs, group, sign)
    table = pd.DataFrame(
        [line for pair, found in pairs.items() for line in pair_lines(pair, found)]
    )
    if not table["pairs"].any():
        raise UserError(_alone(sheet))
    lines = [line for group, found in gains.items() for line in ensemble_lines(group, found)]
    ensembles = pd.DataFrame(
        lines, columns=[field.name for field in dataclasses.fields(EnsembleLine)]
    )
    measures = sheet.table.own_measures
    facts = {
        "methods": methods,
        "score": joint_title(measures),
        "unit": "percentage points" if measures[0].in_percent else "its own unit",
    }
    found = [values for one in (*pairs.values(), *gains.values()) for values in one.values()]
    drawn = {seed for values in found for seeds in values for seed in seeds}
    caption = f"{sheet.caption(drawn)} {_caption(sheet, table, ensembles, untold)}"
    tables = {"": table, "ensembles": ensembles}
    return FigureData(tables, caption, (*_notes(table), *sheet.notes), facts, sheet.marks)


def _overall(table: pd.DataFrame) -> pd.DataFrame:
    """Return the lines of the mean over tasks; of the one task where there is no other."""
    means = table[table["task"] == MEAN]
    return means if len(means) else table


def _notes(table: pd.DataFrame) -> tuple[str, ...]:
    """Say how much pairs of methods agree beside pairs of seeds."""
    found = _overall(table)
    own = found["method"] == found["other"]
    notes = []
    for name, words in (
        ("agreement", "the same class for {} of examples"),
        ("shared_mistakes", "in common {} of the mistakes that either makes"),
    ):
        values = [found[kind][name].dropna() for kind in (~own, own)]
        said = [
            f"{kind}: {words.format(_reach(value))}"
            for kind, value in zip(("two methods", "two seeds of one"), values, strict=True)
            if len(value)
        ]
        notes += ["; ".join(said)] if said else []
    return tuple(notes)


def _reach(values: pd.Series[float]) -> str:
    """Return the least and the greatest of ``values`` in percent, once where they are one."""
    ends = dict.fromkeys(f"{value:.1f}" for value in (values.min(), values.max()))
    return f"{' to '.join(ends)}%"


def _alone(sheet: Sheet) -> str:
    """Say that one run is left, and which others were there."""
    gone = " ".join(sheet.left_out)
    there = f"{in_a_row(map(sheet.label, sheet.table.rows))} on {in_a_row(sheet.table.tasks)}"
    return (
        f"only one run that kept its predictions is left, {there}, and agreement is of two: give "
        f"methods or seeds more than one, or tasks= that they share{sheet.elsewhere}."
        f"{f' {gone}' * bool(gone)}"
    )


def _has_seeds(table: pd.DataFrame) -> bool:
    """Whether any method has two seeds, whose agreement stands on the diagonal."""
    return bool((table["pairs"][table["method"] == table["other"]] > 0).any())


def _caption(
    sheet: Sheet,
    table: pd.DataFrame,
    ensembles: pd.DataFrame,
    untold: Sequence[int],
) -> str:
    import pandas as pd

    tasks = len(sheet.table.tasks)
    two = (table["pairs"] > 0) & (table["method"] != table["other"])
    kinds = " ".join(sorted(set(table["seeds"][two])))
    diagonal = _has_seeds(table)
    lows = pd.concat([table["agreement_low"], table["shared_mistakes_low"], ensembles["gain_low"]])
    parts = [
        "Matrix: percent of examples to which two runs give the same class (below"
        f"{' and on the diagonal' * diagonal}), and percent that both get wrong of those that "
        f"either gets wrong (above){'; on the diagonal two seeds of one method' * diagonal}.",
        _SEEDS_OF_TWO.get(kinds, ""),
        "Gains: ensembles by the mean of all classes' probabilities, against their best member as "
        f"chosen by the same {sheet.scores}; bars: means."
        if len(ensembles)
        else "",
        f"Means over {tasks} tasks, of seeds that a row has on all of them." if tasks > 1 else "",
        "Spreads in the tables: least to greatest over choices of seeds, which share runs."
        if lows.notna().any()
        else "",
    ]
    if (_overall(table)["pairs"] == 0).any():
        lacking = " that have all of these tasks" * (tasks > 1)
        parts.append(f"White: no two runs to compare{lacking}.")
    if len(sheet.table.rows) > NUMBERED:
        parts.append(f"Cells of more than {NUMBERED} rows have no numbers: the CSV has them.")
    if untold:
        sizes = ", ".join(map(str, untold))
        parts.append(
            f"Without the ensembles of {sizes} methods, of which there are more than {MOST}: "
            "methods= names fewer."
        )
    tied = int(ensembles["ties"].sum()) if len(ensembles) else 0
    if tied:
        parts.append(f"Of equally probable classes ({tied} times) the first counts.")
    return " ".join(filter(None, [*parts, *sheet.left_out]))


def plot(data: FigureData) -> Picture:
    """Draw the matrix of pairs beside the gains of ensembles, above them where it is wide."""
    facts = data.facts or {}
    names = numbered_names(facts["methods"])
    rows, beside = max(sum(row_heights(names)), 1.2), len(names) <= BESIDE
    ensembles = _overall(data.tables["ensembles"])
    # Where there are none, neither their axes.
    strips = _STRIPS if len(ensembles) else 0.0
    made = picture(PAGE, rows + (1.4 if beside else 2.2 + strips) + 0.2 * bool(data.warnings))
    if not strips:
        matrix = made.subplots()
    elif beside:
        matrix, gains = made.subplots(1, 2, width_ratios=[1.7, 1.0])
    else:
        matrix, gains = made.subplots(2, 1, height_ratios=[rows, strips])
    cells = _cells(_overall(data.table), facts["methods"])
    image = draw_matrix(matrix, cells, names)
    bar = made.colorbar(image, ax=matrix, location="top", aspect=40, shrink=0.8)
    below = f"below{', diagonal' * _has_seeds(data.table)}"
    said = f"{below}: same class; above: shared mistakes (%)"
    bar.set_label(in_lines(said, _WIDE if beside else 2 * _WIDE))
    if strips:
        _strips(gains, ensembles)
        said = f"gain in {facts['score']} over best member ({facts['unit']})"
        gains.set_ylabel(in_lines(said, rows + 0.3 if beside else strips))
    if data.warnings:
        made.suptitle(" · ".join(data.warnings), weight="bold")
    write_numbers(matrix, cells)
    return made


def _cells(table: pd.DataFrame, methods: Sequence[str]) -> np.ndarray[Any, Any]:
    """Return agreement below and on the diagonal, shared mistakes above it."""
    import numpy as np

    cells = np.full((len(methods), len(methods)), np.nan)
    for _, line in table.iterrows():
        first, second = methods.index(line["method"]), methods.index(line["other"])
        cells[second, first] = line["agreement"]
        if first != second:
            cells[first, second] = line["shared_mistakes"]
    return cells


def _strips(axes: Axes, table: pd.DataFrame) -> None:
    """Draw a mark each ensemble, by size and kind, and a bar at each mean."""
    labels: list[str] = []
    for size in sorted(set(table["size"])):
        for of in (SEEDS, METHODS):
            values = table[(table["size"] == size) & (table["of"] == of)]["gain"].tolist()
            if not values:
                continue
            at = len(labels)
            labels.append(f"{size} {'seeds' if of == SEEDS else of}")
            color = GREY if of == SEEDS else "#0072B2"
            # Side by side in their order, so that none hides another.
            step = 0.5 / max(len(values) - 1, 1)
            places = [at - 0.25 * (len(values) > 1) + step * n for n in range(len(values))]
            axes.plot(places, values, "o", color=color, markersize=2.5, alpha=0.8)
            axes.plot([at - 0.35, at + 0.35], [statistics.fmean(values)] * 2, color="black")
    axes.axhline(0.0, color="black", linewidth=0.6, linestyle=":")
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
    axes.set_xlim(-0.6, max(len(labels), 1) - 0.4)
    axes.grid(axis="y")


FIGURE = CollectionFigure(
    name="agreement",
    title="agreement of methods beside that of seeds, and what their ensembles gain",
    data=data,
    plot=plot,
    settings=Settings,
    options=(
        *OPTIONS,
        "members=2          of the largest ensembles (default: 3)",
    ),
)
