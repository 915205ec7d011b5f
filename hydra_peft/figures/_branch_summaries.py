"""What the measures of many runs come to: by task and over tasks, parallel against sequential."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hydra_peft.plain_text import counted, rounded

if TYPE_CHECKING:
    import pandas as pd

#: measured of each branch; name in tables to words
MEASURES = {
    "similarity": "subspace similarity with $W_0$ (mean over layers)",
    "cka": "CKA with pretrained (last layer)",
}
#: in the place of a task's name
ALL_TASKS = "(mean over tasks)"


def summaries(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
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


def sentence(rows: pd.DataFrame) -> str:
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
        f"is {higher_in(rows, test)}"
    )


def higher_in(summary: pd.DataFrame, test: str = "") -> str:
    """Say in how many tasks, then ``test`` of them, and runs the sequential branch is higher."""
    total = summary[summary["task"] == ALL_TASKS].iloc[0]
    tasks = f"{total['higher']:.0f} of {counted(int(total['of']), 'task')}"
    return (
        f"higher in {tasks}{test}, {total['runs_higher']:.0f} of "
        f"{counted(int(total['runs']), 'run')}"
    )


def is_known(summary: pd.DataFrame) -> bool:
    """Whether a measure, whose summary this is, is a number for any run."""
    return bool((summary["runs"] > 0).any())
