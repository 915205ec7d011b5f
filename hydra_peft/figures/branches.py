"""Both of the paper's claims on branches over many runs: is B W0 closer to W0 than A is?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hydra_peft.errors import UserError
from hydra_peft.figures._base import MOST_NOTES, CollectionFigure, FigureData
from hydra_peft.figures._both_branches import ALIGNMENTS, measures_of, shared_settings, with_both
from hydra_peft.figures._branch_summaries import MEASURES, higher_in, is_known, sentence, summaries
from hydra_peft.figures._branches import IMAGE_OPTIONS, ImageSettings
from hydra_peft.figures._captions import describe_runs
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
from hydra_peft.figures.figure3 import COUNT
from hydra_peft.plain_text import counted, few_of_each

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture

    from hydra_peft.analysis.subspace import Directions
    from hydra_peft.runs.collection import Collection

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

    wanted = with_both(collection)
    if not wanted:
        raise UserError("none of these runs has both branches: train some with method=hydra.")
    rows, measured = [], []
    notes: list[str] = []
    known: dict[tuple[str, str], Directions] = {}
    for run in wanted:
        try:
            rows.append({**run.columns, **measures_of(run.found, settings, known, notes)})
            measured.append(run)
        except UserError as error:
            notes.append(f"left out: {error}")
    if not rows:
        raise UserError(f"none of {len(wanted)} runs could be rebuilt; the first: {notes[0]}")
    table = pd.DataFrame(rows)
    table["setting"] = _labels(table)
    table = table.drop(columns="identity")
    table = table.sort_values(["setting", "benchmark", "task", "seed"], ignore_index=True)
    summary = pd.DataFrame(summaries(table))
    runs = describe_runs(
        [run.found.record for run in measured],
        collection.defaults,
        labels=[run.label for run in measured],
    )
    caption = " ".join([f"{runs}.", *shared_settings(measured), _caption(table)])
    signs = [
        sentence(rows)
        for (setting, measure), rows in summary.groupby(["setting", "measure"], sort=False)
        if not _is_of_images(measure, table[table["setting"] == setting])
    ]
    notes += _without_images(table)
    said = (*signs, *few_of_each(notes, MOST_NOTES))
    return FigureData({"": table, "summary": summary}, caption, said)


def _caption(table: pd.DataFrame) -> str:
    """Say what was measured how, and what is not in the picture."""
    counts = sorted({COUNT, *table["directions"]}, reverse=True)
    fewer = f" (of a branch of rank {counts[-1]}: {counts[-1]})" if len(counts) > 1 else ""
    parts = [
        f"Similarity: eq. 14 at i = 10%, j = {counts[0]}{fewer}, mean over adapted layers.",
    ]
    layers = table["layer"][table[list(ALIGNMENTS)].notna().any(axis=1)]
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


def _labels(table: pd.DataFrame) -> pd.Series[str]:
    """Return the settings' labels, with the settings' hash where two would have the same."""
    same = table.groupby("setting")["identity"].transform("nunique") > 1
    return table["setting"] + (" [" + table["identity"].str[:8] + "]").where(same, "")


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
            said = f"sequential {higher_in(own)}" if is_known(own) else none
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
    elif is_known(summary):
        axes.axvline(0, color=GREY, linewidth=0.6)
    if not is_known(summary):
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
