"""Figure ``agreement``: whether methods make different mistakes, and what their ensembles gain."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, combinations_with_replacement, pairwise
from typing import TYPE_CHECKING, Any

from hydra_peft.errors import UserError
from hydra_peft.figures._base import CollectionFigure, FigureData
from hydra_peft.figures._captions import drawable
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
from hydra_peft.figures._sheets import (
    OPTIONS,
    Selection,
    Sheet,
    choose,
    complete_part,
    left_out,
    of_one_scale,
)
from hydra_peft.figures._style import GREY, HEAT, PAGE, SMALL, in_lines, picture
from hydra_peft.plain_text import in_a_row
from hydra_peft.runs.kept_predictions import has_classes, is_classification, why_none
from hydra_peft.runs.selection import NAMES, select
from hydra_peft.tables.grouping import run_label
from hydra_peft.tables.measures import joint_title

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

    from hydra_peft.runs.collection import Collection
    from hydra_peft.runs.predictions import ClassPredictions
    from hydra_peft.runs.record import Record

#: what is said of the seeds of pairs of two methods, by what they are
_SEEDS_OF_TWO = {
    "different": "Pairs of methods are of different seeds.",
    "same": "Pairs of methods are of the same seed.",
    "different same": "Pairs of methods are of different seeds, some of the same where no others "
    "are there.",
}
#: methods whose cells have room for a number
_NUMBERED = 12
#: inches of the names beside the matrix, and of a line of them
_BESIDE, _LINE = 1.9, 1.25 * SMALL / 72
#: inches of the matrix without names and numbers beside it
_WIDE = 2.2


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
    kept, others = _with_predictions(collection, settings)
    sheet = of_one_scale(choose(kept, settings))
    without = _of_table(others, sheet)
    sheet = complete_part(sheet, asked=bool(settings.tasks))
    methods = [sheet.label(row) for row in sheet.table.rows]
    groups, untold = memberships(methods, settings.members)
    pairs: dict[tuple[str, str], dict[str, Values]] = {}
    gains: dict[tuple[str, ...], dict[str, Values]] = {}
    for task, runs in _on_all_tasks({task: _read(sheet, task) for task in sheet.table.tasks}):
        sign = sheet.table.measures[task].sign
        for pair in combinations_with_replacement(methods, 2):
            pairs.setdefault(pair, {})[task] = compare(runs, pair)
        for group in groups:
            gains.setdefault(group, {})[task] = combine(runs, group, sign)
    table = pd.DataFrame(
        [line for pair, found in pairs.items() for line in pair_lines(pair, found)]
    )
    if not table["pairs"].any():
        raise UserError(_alone(sheet, without))
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
    caption = f"{sheet.caption(drawn)} {_caption(sheet, table, ensembles, without, untold)}"
    tables = {"": table, "ensembles": ensembles}
    return FigureData(tables, caption, (*_notes(table), *sheet.notes), facts, sheet.marks)


#: a record, and what it is called in a sentence
_Named = tuple["Record", str]


def _of_table(without: Mapping[str, Sequence[_Named]], sheet: Sheet) -> dict[str, list[str]]:
    """Return the names of what is left out of the runs of the table of ``sheet``, by reason."""
    table = sheet.table
    return {
        reason: [
            name
            for record, name in runs
            if (record.benchmark, record.protocol) == (table.benchmark, table.protocol)
        ]
        for reason, runs in without.items()
    }


def _with_predictions(
    collection: Collection, settings: Settings
) -> tuple[Collection, dict[str, list[_Named]]]:
    """Return the runs that kept which class they took each example for; the others by reason.

    Raises:
        UserError: no run has.
    """
    from hydra_peft.runs.predictions import read_class_predictions

    wanted = {key: getattr(settings, key) for key in NAMES}
    chosen = select(dataclasses.replace(collection, others=[]), wanted)
    kept, without = [], dict[str, list[_Named]]()
    for run in chosen.completed:
        record = run.record
        if has_classes(run.folder, record):
            try:
                read_class_predictions(run.folder)
            except UserError as error:
                reason = str(error).replace(f"{run.folder}/", "").rstrip(".")
            else:
                kept.append(run)
                continue
        else:
            reason = _why_none(record)
        said = drawable(record)
        label = run_label(said, collection.defaults)
        name = f"{label} on {said.task} seed {said.seed}"
        without.setdefault(reason, []).append((record, name))
    if not kept and chosen.completed:
        names = {reason: [name for _, name in runs] for reason, runs in without.items()}
        listed = " ".join(left_out(names))
        if not any(is_classification(run.record) for run in chosen.completed):
            raise UserError(f"none of these runs has classes that could agree: {listed}")
        raise UserError(
            f"none of these runs kept its predictions: {listed} Do them again with "
            "save.predictions=true sweep.on_existing=rerun."
        )
    return dataclasses.replace(chosen, completed=kept), without


def _why_none(record: Record) -> str:
    """Return why a run did not keep which class it took each example for."""
    if not is_classification(record):
        return "it is no classification"
    return why_none(record, record.split) or "it has no predictions.safetensors"


def _read(sheet: Sheet, task: str) -> dict[str, dict[int, ClassPredictions]]:
    """Return the predictions of ``task`` by method and seed.

    Raises:
        UserError: two runs were scored on different examples.
    """
    import torch

    from hydra_peft.runs.predictions import read_class_predictions
    from hydra_peft.runs.rebuild import split_hash

    found: dict[str, dict[int, ClassPredictions]] = {}
    first: ClassPredictions | None = None
    for row in sheet.table.rows:
        for record in row.records:
            if record.task != task:
                continue
            run = read_class_predictions(sheet.folders[id(record)])
            first = first or run
            hashes = [split_hash(each.record.data, each.split) for each in (first, run)]
            if hashes[0] != hashes[1] or not torch.equal(first.targets, run.targets):
                raise UserError(
                    f"{first.folder} and {run.folder} were scored on different examples of {task}: "
                    "give methods= or tasks= that leave one of them out."
                )
            found.setdefault(sheet.label(row), {})[record.seed] = run
    return found


def _on_all_tasks(
    found: Mapping[str, Mapping[str, Mapping[int, ClassPredictions]]],
) -> Iterator[tuple[str, dict[str, dict[int, ClassPredictions]]]]:
    """Yield the predictions of each task by method and seed, of seeds that a method has on all
    tasks: a mean over tasks is of the same pairs of seeds on each."""
    methods = dict.fromkeys(method for runs in found.values() for method in runs)
    seeds = {
        m: set.intersection(*(set(runs.get(m, ())) for runs in found.values())) for m in methods
    }
    for task, runs in found.items():
        yield (
            task,
            {m: {s: run for s, run in own.items() if s in seeds[m]} for m, own in runs.items()},
        )


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


def _alone(sheet: Sheet, without: Mapping[str, Sequence[str]]) -> str:
    """Say that one run is left, and which others were there."""
    gone = " ".join([*sheet.left_out, *left_out(without)])
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
    without: Mapping[str, Sequence[str]],
    untold: Sequence[int],
) -> str:
    import pandas as pd

    tasks = len(sheet.table.tasks)
    two = (table["pairs"] > 0) & (table["method"] != table["other"])
    kinds = " ".join(sorted(set(table["seeds"][two])))
    diagonal = _has_seeds(table)
    lows = pd.concat([table["agreement_low"], table["shared_mistakes_low"], ensembles["gain_low"]])
    parts = [
        "Left: percent of examples to which two runs give the same class (below"
        f"{' and on the diagonal' * diagonal}), and percent that both get wrong of those that "
        f"either gets wrong (above){'; on the diagonal two seeds of one method' * diagonal}.",
        _SEEDS_OF_TWO.get(kinds, ""),
        "Right: ensembles by the mean of all classes' probabilities, against their best member as "
        f"chosen by the same {sheet.scores}; bars: means.",
        f"Means over {tasks} tasks, of seeds that a row has on all of them." if tasks > 1 else "",
        "Spreads in the tables: least to greatest over choices of seeds, which share runs."
        if lows.notna().any()
        else "",
    ]
    if untold:
        sizes = ", ".join(map(str, untold))
        parts.append(
            f"Without the ensembles of {sizes} methods, of which there are more than {MOST}: "
            "methods= names fewer."
        )
    tied = int(ensembles["ties"].sum()) if len(ensembles) else 0
    if tied:
        parts.append(f"Of equally probable classes ({tied} times) the first counts.")
    return " ".join(filter(None, [*parts, *sheet.left_out, *left_out(without)]))


def plot(data: FigureData) -> Picture:
    """Draw the matrix of pairs beside the gains of ensembles."""
    facts = data.facts or {}
    numbered = [f"{at}: {name}" for at, name in enumerate(facts["methods"], 1)]
    names = [in_lines(name, _BESIDE, SMALL) for name in numbered]
    heights = [max(0.25, (1 + name.count("\n")) * _LINE + 0.05) for name in names]
    rows = max(sum(heights), 1.2)
    made = picture(PAGE, rows + 1.4 + 0.2 * bool(data.warnings))
    matrix, gains = made.subplots(1, 2, width_ratios=[1.7, 1.0])
    ends = [0.0, *accumulate(heights)]
    image = _matrix(matrix, _overall(data.table), facts["methods"], ends)
    matrix.set_yticks(_middles(ends), names, fontsize=SMALL)
    # Upright names would take more than the matrix.
    matrix.set_xticks(range(len(names)), map(str, range(1, 1 + len(names))), fontsize=SMALL)
    bar = made.colorbar(image, ax=matrix, location="top", aspect=40, shrink=0.8)
    below = f"below{', diagonal' * _has_seeds(data.table)}"
    bar.set_label(in_lines(f"{below}: same class; above: shared mistakes (%)", _WIDE))
    _strips(gains, _overall(data.tables["ensembles"]))
    said = f"gain in {facts['score']} over best member ({facts['unit']})"
    gains.set_ylabel(in_lines(said, rows + 0.3))
    if data.warnings:
        made.suptitle(" · ".join(data.warnings), weight="bold")
    return made


def _middles(ends: Sequence[float]) -> list[float]:
    return [(low + high) / 2 for low, high in pairwise(ends)]


def _matrix(axes: Axes, table: pd.DataFrame, methods: Sequence[str], ends: Sequence[float]) -> Any:
    """Draw agreement below and on the diagonal, shared mistakes above it.

    ``ends`` are those of the rows: a name of many lines makes its own row high, no other.
    """
    import numpy as np

    count = len(methods)
    cells = np.full((count, count), np.nan)
    for _, line in table.iterrows():
        first, second = methods.index(line["method"]), methods.index(line["other"])
        cells[second, first] = line["agreement"]
        if first != second:
            cells[first, second] = line["shared_mistakes"]
    columns = np.arange(count + 1) - 0.5
    image = axes.pcolormesh(columns, ends, cells, cmap=HEAT, vmin=0, vmax=100, rasterized=True)
    axes.invert_yaxis()
    if count <= _NUMBERED:
        middles = _middles(ends)
        for row, column in np.argwhere(~np.isnan(cells)).tolist():
            value = cells[row, column]
            axes.text(
                column,
                middles[row],
                f"{value:.0f}",
                ha="center",
                va="center",
                color="white" if value < 45 else "black",
                fontsize=SMALL,
                fontweight="bold" if row == column else "normal",
            )
    return image


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
