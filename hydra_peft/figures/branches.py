"""Both of the paper's claims on branches over many runs: is B W0 closer to W0 than A is?"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra_peft.errors import UserError
from hydra_peft.figures._base import CollectionFigure, FigureData
from hydra_peft.figures._branches import (
    IMAGE_OPTIONS,
    AdaptedLayer,
    ImageSettings,
    adapted_layers,
    choose_layer,
    cls_outputs,
    sample_images,
)
from hydra_peft.figures._captions import describe_runs, drawable
from hydra_peft.figures._looks import BRANCHES
from hydra_peft.figures._style import (
    BOUND,
    GREY,
    PAGE,
    SMALL,
    formulas,
    in_lines,
    picture,
    text_width,
)
from hydra_peft.figures.figure3 import COUNT, directions
from hydra_peft.plain_text import counted, rounded
from hydra_peft.tables.labels import PARTIAL

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

    from hydra_peft.analysis.subspace import Directions
    from hydra_peft.runs.collection import Collection, FoundRun
    from hydra_peft.runs.rebuild import RebuiltRun
    from hydra_peft.runs.record import Record
    from hydra_peft.tables.rows import Row, Table

#: measured of each branch; name in tables to words
MEASURES = {
    "similarity": "subspace similarity with $W_0$ (mean over layers)",
    "cka": "CKA with pretrained (last layer)",
}
#: settings drawn below each other; the tables have all
_DRAWN = 3


def data(collection: Collection, settings: ImageSettings) -> FigureData:
    """Return one row each run, and in ``summary`` one row each task and measure.

    Only runs with both branches count. Rows of tables are kept apart, as are benchmarks, protocols
    and weights. What cannot be rebuilt is left out with a note; where there are no images, CKA is
    NaN. ``directions`` is how many of each update are looked at.

    Raises:
        UserError: no run has both branches, or none can be rebuilt.
    """
    import pandas as pd

    wanted = _wanted(collection)
    if not wanted:
        raise UserError("none of these runs has both branches: train some with method=hydra.")
    rows, measured = [], []
    notes: list[str] = []
    known: dict[tuple[str, str], Directions] = {}
    for run in wanted:
        try:
            rows.append({**run.columns, **_measure(run.found, settings, known, notes)})
            measured.append(run)
        except UserError as error:
            notes.append(f"left out: {error}")
    if not rows:
        raise UserError(f"none of {len(wanted)} runs could be rebuilt; the first: {notes[0]}")
    table = pd.DataFrame(rows)
    table["setting"] = _labels(table)
    table = table.drop(columns="identity")
    table = table.sort_values(["setting", "benchmark", "task", "seed"], ignore_index=True)
    summary = pd.DataFrame(_summaries(table))
    runs = describe_runs(
        [run.found.record for run in measured],
        collection.defaults,
        labels=[run.label for run in measured],
    )
    caption = f"{runs}. {_caption(table)}"
    signs = [
        _sentence(rows)
        for (setting, measure), rows in summary.groupby(["setting", "measure"], sort=False)
        if not _is_of_images(measure, table[table["setting"] == setting])
    ]
    notes += _without_images(table)
    return FigureData({"": table, "summary": summary}, caption, (*signs, *notes))


@dataclass(frozen=True)
class _Wanted:
    """A run with both branches, the whole label of its row in tables, and what is known of it."""

    found: FoundRun
    label: str
    columns: dict[str, Any]


def _wanted(collection: Collection) -> list[_Wanted]:
    """Return the runs with both branches that stand in tables, by their rows there."""
    from hydra_peft.tables.grouping import build_tables
    from hydra_peft.tables.parts import parts

    drawn = [(run, drawable(run.record)) for run in collection.completed]
    found = {id(record): run for run, record in drawn}
    tables, _ = build_tables(
        [record for _, record in drawn],
        defaults=collection.defaults,
        benchmarks=collection.benchmarks,
    )
    return [
        _Wanted(found[id(record)], row.label, _columns(table, row, part.names[id(row)], record))
        for table in tables
        for part in parts(table)
        for row in part.table.rows
        for record in row.records
        if _has_both(record)
    ]


def _columns(table: Table, row: Row, name: str, record: Record) -> dict[str, Any]:
    from hydra_peft.config.identity import settings_id

    partial = f", {PARTIAL}" * row.partial
    return {
        "setting": f"{table.benchmark}, {name}, {row.model} ({row.weights}), "
        f"protocol {table.protocol}{partial}",
        "identity": settings_id(row.settings),
        "benchmark": record.benchmark,
        "task": record.task,
        "seed": record.seed,
    }


def _has_both(record: Record) -> bool:
    return bool(record.method.get("rank_parallel")) and bool(record.method.get("rank_sequential"))


def _caption(table: pd.DataFrame) -> str:
    """Say what was measured how, and what is not in the picture."""
    counts = sorted({COUNT, *table["directions"]}, reverse=True)
    fewer = f" (of a branch of rank {counts[-1]}: {counts[-1]})" if len(counts) > 1 else ""
    parts = [
        f"Similarity: eq. 14 at i = 10%, j = {counts[0]}{fewer}, mean over adapted layers.",
    ]
    layers = table["layer"][table[list(_ALIGNMENTS)].notna().any(axis=1)]
    if len(layers):
        parts.append(f"CKA: debiased, [CLS], layer {', '.join(dict.fromkeys(layers))}.")
    parts.append(
        "Small: seeds; large: their mean with a 95% interval, inside of what there can be."
    )
    return " ".join(parts) + _further(table)


def _without_images(table: pd.DataFrame) -> list[str]:
    """Return a note on the runs that have no CKA as they read texts."""
    count = int((table["of"] == "texts").sum())
    return [f"no CKA of {counted(count, 'run')} on texts: it is of images."] if count else []


def _measure(
    found: FoundRun,
    settings: ImageSettings,
    known: dict[tuple[str, str], Directions],
    notes: list[str],
) -> dict[str, Any]:
    """Return what is measured of one run; ``known`` has directions of weights that runs share."""
    from hydra_peft.backbones.inputs import image_size
    from hydra_peft.runs.rebuild import rebuild

    run = rebuild(found.folder, checkpoint=settings.checkpoint or None)
    layers = adapted_layers(run)
    images = image_size(run.model) is not None
    aligned = _alignments(run, layers, settings, notes) if images else {}
    return {
        "folder": found.folder.name,
        "of": "images" if images else "texts",
        "layers": len(layers),
        **_similarities(layers, str(run.record.weights.get("sha256")), known),
        "layer": "",
        **dict.fromkeys(_ALIGNMENTS, math.nan),
        **aligned,
    }


def _labels(table: pd.DataFrame) -> pd.Series[str]:
    """Return the settings' labels, with the settings' hash where two would have the same."""
    same = table.groupby("setting")["identity"].transform("nunique") > 1
    return table["setting"] + (" [" + table["identity"].str[:8] + "]").where(same, "")


def _similarities(
    layers: list[AdaptedLayer], weights: str, known: dict[tuple[str, str], Directions]
) -> dict[str, Any]:
    """Return the means over layers of each branch's similarity, and of what chance gives."""
    from hydra_peft.analysis.subspace import (
        PARALLEL,
        SEQUENTIAL,
        branch_similarities,
        chance_similarity,
        leading_directions,
        top_count,
    )

    ends: dict[str, list[float]] = {PARALLEL: [], SEQUENTIAL: []}
    chances = []
    count, _ = directions(layers)
    for layer in layers:
        weight = layer.adapter.base.weight
        key = (weights, layer.name)
        if key not in known:
            known[key] = leading_directions(weight, top_count(weight))
        for name, values in branch_similarities(
            layer.adapter, count=count, leading=known[key]
        ).items():
            ends[name].append(float(values[-1, -1]))
        chances.append(chance_similarity(top_count(weight), count, len(weight))[0])
    parallel, sequential, chance = (
        math.fsum(values) / len(values) for values in (ends[PARALLEL], ends[SEQUENTIAL], chances)
    )
    return {
        "similarity_parallel": parallel,
        "similarity_sequential": sequential,
        "similarity_chance": chance,
        "directions": count,
    }


def _alignments(
    run: RebuiltRun, layers: list[AdaptedLayer], settings: ImageSettings, notes: list[str]
) -> dict[str, Any]:
    """Return CKA of each branch with the frozen layer, and which; without images a note alone."""
    from hydra_peft.analysis.alignment import debiased_cka, linear_cka

    try:
        layer = choose_layer(run, layers, "")
        outputs = cls_outputs(run, layer, sample_images(run, settings))
    except UserError as error:
        notes.append(f"no CKA: {error}")
        return {}
    pretrained = outputs["pretrained"]
    return {
        "layer": layer.name,
        "cka_parallel": debiased_cka(pretrained, outputs["parallel"]),
        "cka_sequential": debiased_cka(pretrained, outputs["sequential"]),
        "cka_between": debiased_cka(outputs["parallel"], outputs["sequential"]),
        "biased_cka_parallel": linear_cka(pretrained, outputs["parallel"]),
        "biased_cka_sequential": linear_cka(pretrained, outputs["sequential"]),
    }


_ALIGNMENTS = (
    "cka_parallel",
    "cka_sequential",
    "cka_between",
    "biased_cka_parallel",
    "biased_cka_sequential",
)


def _summaries(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield, for each setting and measure, a row each task and one over all of them.

    Intervals of a task are over its seeds. That over tasks is over their means: seeds of a task
    are not independent draws of a task. ``higher`` of ``of`` differences are above zero, of runs
    in a task's row, of tasks' means over all; ``runs_higher`` counts runs there.
    """
    for setting, own in table.groupby("setting", sort=False):
        for measure in MEASURES:
            tasks = []
            for task, rows in own.groupby("task", sort=True):
                row = {"setting": setting, "measure": measure, "task": task}
                row |= _summary(rows, measure)
                tasks.append(row)
                yield row
            yield {"setting": setting, "measure": measure, "task": ALL_TASKS} | _over(
                tasks, measure
            )


#: in the place of a task's name
ALL_TASKS = "(mean over tasks)"


def _summary(rows: pd.DataFrame, measure: str) -> dict[str, Any]:
    parallel, sequential = rows[f"{measure}_parallel"], rows[f"{measure}_sequential"]
    return _intervals(parallel.tolist(), sequential.tolist(), measure, rows)


def _over(tasks: list[dict[str, Any]], measure: str) -> dict[str, Any]:
    import pandas as pd

    found = _intervals([t["parallel"] for t in tasks], [t["sequential"] for t in tasks], measure)
    runs = pd.DataFrame(tasks)
    return {
        **found,
        "runs_higher": int(runs["runs_higher"].sum()),
        "runs": int(runs["runs"].sum()),
        "chance": runs["chance"].mean(),
    }


def _intervals(
    parallel: list[float],
    sequential: list[float],
    measure: str,
    rows: pd.DataFrame | None = None,
) -> dict[str, Any]:
    """Return means and 95% intervals of both and of their paired difference, with its sign."""
    from hydra_peft.analysis.intervals import sign_test, t_interval

    pairs = [
        (a, b)
        for a, b in zip(parallel, sequential, strict=True)
        if not (math.isnan(a) or math.isnan(b))
    ]
    differences = [b - a for a, b in pairs]
    row: dict[str, Any] = {}
    # An unbiased estimate of an alignment can be below zero.
    least = 0.0 if measure == "similarity" else -1.0
    for name, values, low in (
        ("parallel", [a for a, _ in pairs], least),
        ("sequential", [b for _, b in pairs], least),
        ("difference", differences, least - 1.0),
    ):
        interval = t_interval(values, low, 1.0 if name != "difference" else -low)
        row |= {name: interval.mean, f"{name}_low": interval.low, f"{name}_high": interval.high}
    sign = sign_test(differences)
    row |= {"higher": sign.positive, "of": sign.count, "p": sign.p}
    chance = math.nan if rows is None else float(rows["similarity_chance"].mean())
    return row | {"runs_higher": sign.positive, "runs": sign.count, "chance": chance}


def _sentence(rows: pd.DataFrame) -> str:
    """Summarise a measure over all tasks of a setting in one line."""
    total = rows[rows["task"] == ALL_TASKS].iloc[0]
    if not total["of"]:
        return f"{total['setting']}: {total['measure']} is undefined for all runs"
    low, difference, high = (
        rounded(total[f"difference{end}"], 4, sign=True) for end in ("_low", "", "_high")
    )
    interval = f" [{low}, {high}]" if total["of"] > 1 else ""
    test = f" (sign test p = {total['p']:.3g})"
    return (
        f"{total['setting']}: {total['measure']} of the sequential branch "
        f"{rounded(total['sequential'], 4)}, of the parallel one {rounded(total['parallel'], 4)}; "
        f"difference {difference}{interval} over {counted(int(total['of']), 'task')}; sequential "
        f"is {_counts(rows, test)}"
    )


def plot(data: FigureData) -> Picture:
    """Draw both measures by task, a row of panels each setting."""
    table, summary = data.table, data.tables["summary"]
    drawn = _settings(table)[:_DRAWN]
    counts = [table[table["setting"] == setting]["task"].nunique() for setting in drawn]
    heights = [0.75 + 0.3 * (count + 1) for count in counts]
    made = picture(PAGE, sum(heights) + 0.8)
    grid = made.subplots(len(drawn), 2, squeeze=False, height_ratios=heights)
    for row, setting in zip(grid, drawn, strict=True):
        for axes, (measure, words) in zip(row, MEASURES.items(), strict=True):
            own = summary[(summary["setting"] == setting) & (summary["measure"] == measure)]
            _panel(axes, table[table["setting"] == setting], own, measure)
            runs = table[table["setting"] == setting]
            none = "of images alone" if _is_of_images(measure, runs) else "undefined for all runs"
            said = f"sequential {_counts(own)}" if _is_known(own) else none
            axes.set_xlabel(f"{words}\n{said}", parse_math=True)
        names = max((text_width(name, SMALL) for name in table["task"]), default=0.0)
        # No line ends between the weights and their hash.
        bound = re.sub(r"(?<=\(pretrained) (?=\w{8}\))", BOUND, setting)
        row[0].set_title(in_lines(bound, PAGE - names - 0.3), loc="left")
        row[1].tick_params(labelleft=False)
    handles, labels = grid[0][0].get_legend_handles_labels()
    made.legend(handles, labels, loc="outside upper center", ncols=len(handles))
    formulas(made)
    return made


def _is_of_images(measure: str, runs: pd.DataFrame) -> bool:
    """Whether ``measure`` is not computed for ``runs``, which read texts."""
    return measure == "cka" and bool((runs["of"] == "texts").all())


def _is_known(summary: pd.DataFrame) -> bool:
    """Whether a measure, whose summary this is, is a number for any run."""
    return bool((summary["runs"] > 0).any())


def _settings(table: pd.DataFrame) -> list[str]:
    """Return the settings, those with most runs first."""
    sizes = table.groupby("setting", sort=False).size().sort_values(ascending=False, kind="stable")
    return list(sizes.index)


def _further(table: pd.DataFrame) -> str:
    """Note panels with scales of their own, and settings without a panel."""
    count = len(_settings(table))
    scales = " Each panel has a scale of its own." if count > 1 else ""
    more = counted(count - _DRAWN, "more setting is", "more settings are")
    hidden = f" {more} in the table." if count > _DRAWN else ""
    return scales + hidden


def _counts(summary: pd.DataFrame, test: str = "") -> str:
    """Say in how many tasks, then ``test`` of them, and runs the sequential branch is higher."""
    total = summary[summary["task"] == ALL_TASKS].iloc[0]
    tasks = f"{total['higher']:.0f} of {counted(int(total['of']), 'task')}"
    return (
        f"higher in {tasks}{test}, {total['runs_higher']:.0f} of "
        f"{counted(int(total['runs']), 'run')}"
    )


def _panel(axes: Axes, runs: pd.DataFrame, summary: pd.DataFrame, measure: str) -> None:
    """Draw one measure: tasks downwards, their mean last, both branches in each."""
    names = list(summary["task"])
    for branch, shift in (("parallel", -0.14), ("sequential", 0.14)):
        look = BRANCHES[branch]
        # Outside of the intervals, which would hide them.
        places = [names.index(task) + 2.2 * shift for task in runs["task"]]
        axes.scatter(
            runs[f"{measure}_{branch}"],
            places,
            s=7,
            color=look["color"],
            marker=look["marker"],
            alpha=0.6,
            linewidths=0,
        )
        means = summary[branch]
        # No interval without a second value: drawn as none.
        low = (means - summary[f"{branch}_low"]).fillna(0)
        high = (summary[f"{branch}_high"] - means).fillna(0)
        axes.errorbar(
            means,
            [position + shift for position in range(len(names))],
            xerr=[low, high],
            linestyle="none",
            color=look["color"],
            marker=look["marker"],
            elinewidth=1.0,
            label=f"{branch}, ${'A' if branch == 'parallel' else 'B W_0'}$",
        )
    if measure == "similarity":
        axes.axvline(
            float(summary["chance"].mean()), color=GREY, linestyle=":", label="random subspaces"
        )
    elif _is_known(summary):
        axes.axvline(0, color=GREY, linewidth=0.6)
    if not _is_known(summary):
        axes.set_xticks([])
    axes.axhline(len(names) - 1.5, color="#BBBBBB", linewidth=0.6)
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)


FIGURE = CollectionFigure(
    name="branches",
    title="is the sequential branch closer to W0 than the parallel one, over tasks and seeds",
    settings=ImageSettings,
    options=IMAGE_OPTIONS,
    data=data,
    rebuilds=True,
    plot=plot,
)
