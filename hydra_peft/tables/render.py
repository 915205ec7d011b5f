"""Tables of measured rows, as they are read and in long form."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from hydra_peft.plain_text import rounded
from hydra_peft.tables.formats import render
from hydra_peft.tables.mean_heads import heads_sentence, mean_head
from hydra_peft.tables.measures import Measure, axis, mean_measure
from hydra_peft.tables.parts import Part, measures_sentence, parts
from hydra_peft.tables.rows import Row, Table
from hydra_peft.tables.sheet import SECOND, Sheet
from hydra_peft.tables.summaries import Summary, task_weights

#: digits behind the point
_DECIMALS = 1
#: settings of runs that trained on a part of their training split
_OF_PART = ("dataset.train_size", "dataset.shots")
_RANKS = (
    "Bold is the best on a task or by a mean{}, whether or not their difference is more than "
    "chance."
)


def documents(tables: list[Table], notes: list[str], form: str) -> dict[str, str]:
    """Return the whole text of each file of ``form``, by ending; the first is to be printed."""
    found = [sheet(part) for table in tables for part in parts(table)]
    return render(found, lambda: to_frame(tables), notes, form)


def sheet(part: Part) -> Sheet:
    """Return ``part``: methods by tasks, mean and standard deviation over seeds, ranked."""
    table, rows = part.table, part.table.rows
    columns, measures = part.titles, part.measures
    lines: list[dict[str, str]] = []
    marks: dict[tuple[int, str], int] = {}
    cells = part.ranked_cells(_DECIMALS)
    for number, (row, label) in enumerate(zip(rows, part.labels, strict=True)):
        line = {"method": label}
        for column, measure, (summary, rank) in zip(columns, measures, cells[number], strict=True):
            line[column] = _shown(summary, measure, row)
            if rank:
                marks[number, column] = rank
        line["seeds"] = seeds(row)
        line["parameters without head"] = row.parameters()
        line["with mean head"] = row.parameters(mean_head(part, row))
        lines.append(line)
    second = ", underlined the second" if SECOND in marks.values() else ""
    return Sheet(
        part_title(part),
        pd.DataFrame(lines),
        marks=marks,
        above=part.sentences,
        below=[
            _legend(table),
            *uneven_sentence(
                (x, row) for row, line in zip(rows, cells, strict=True) for x, _ in line
            ),
            *sizes_sentence(rows),
            *heads_sentence(part),
            *measures_sentence(table),
            *_references(table),
            *([_RANKS.format(second)] if marks else []),
        ],
        name=part_name(part),
    )


def title(table: Table) -> str:
    """Title of the table, in one line."""
    warning = " (selected on the test set)" if table.selected_on_test else ""
    return (
        f"{table.benchmark}{warning}: {axis(table.own_measures, f' on {table.split}')}, "
        f"{table.learnt}, protocol {table.protocol}{table.rule}"
    )


def part_title(part: Part) -> str:
    """Title of a part of a table, in one line."""
    return f"{title(part.table)}; {part.backbone}"


def part_name(part: Part) -> str:
    """Return a short name of a part of a table."""
    table = part.table
    return f"{table.benchmark} {table.protocol} {table.split} {part.table.rows[0].model}"


def _shown(summary: Summary | None, measure: Measure, row: Row) -> str:
    if summary is None:
        return "-"
    digits = measure.decimals(_DECIMALS)
    spread = "" if summary.std is None else f" ± {summary.std:.{digits}f}"
    beside = f"{shown_mean(summary, digits)}{fewer_seeds(summary, row)}"
    return f"{rounded(summary.value, digits)}{spread}{beside}"


def shown_mean(summary: Summary, digits: int) -> str:
    """Return what a cell with a median has of the mean; nothing of other cells."""
    mean = summary.mean_beside
    return "" if mean is None else f" (mean {rounded(mean, digits)})"


def cells_are(over_seeds: str) -> str:
    """Return what cells are of the scores of their seeds."""
    also = " (and their mean)" if over_seeds == "median" else ""
    return f"{over_seeds} ± sample standard deviation over seeds{also}"


def seeds(row: Row) -> str:
    """Return the number of seeds of a row's cells, such as ``3`` or ``1-3``."""
    counts = sorted({len(scores) for scores in row.scores.values()})
    return f"{counts[0]}" if len(counts) == 1 else f"{counts[0]}-{counts[-1]}"


def fewer_seeds(summary: Summary, row: Row) -> str:
    """Return the number of seeds of a number of ``row`` for the end of its cell; nothing where it
    is the most that the row has."""
    return f" (n={summary.count})" if summary.count < max(map(len, row.scores.values())) else ""


def uneven_sentence(cells: Iterable[tuple[Summary | None, Row]]) -> list[str]:
    """Return what n= means; nothing where none of ``cells`` has it."""
    if not any(summary and fewer_seeds(summary, row) for summary, row in cells):
        return []
    return [
        "n= stands where a number is over fewer seeds than its method has elsewhere. A mean is "
        "over the seeds with runs on all of its tasks: where it has n=, it is not the mean of the "
        "numbers of these tasks."
    ]


def _legend(table: Table) -> str:
    groups: dict[str, list[str]] = {}
    for task, group in table.tasks.items():
        groups.setdefault(group, []).append(task)
    listed = "; ".join(f"{group}: {', '.join(tasks)}" for group, tasks in groups.items())
    rules = {"tasks": "plain mean over tasks", "groups": "mean of the groups' means"}
    means = "".join(f"{n[:1].upper()}{n[1:]}: {rules[over]}. " for n, over in table.means.items())
    means += {0: "Scores are ", 1: "It is ", 2: "Both are "}.get(len(table.means), "All are ")
    over, apart = table.about.over_seeds, ""
    if over == "median" and table.means:
        apart = ", then the median of the seeds: that is not the mean of the tasks' medians"
    return (
        f"Groups: {listed}. Cells: {cells_are(over)}. {means}taken per seed{apart}; '-' where a "
        "run is missing."
    )


def _references(table: Table) -> list[str]:
    """Say how what is no run scores on the tasks of the table, where that is of their test sets."""
    records = [record for row in table.rows for record in row.records]
    if {record.role(record.split) for record in records} != {"test"}:
        return []
    drawn = any(record.settings.get(key) for record in records for key in _OF_PART)
    on = ", trained on the whole training split" if drawn else ""
    return [
        f"For comparison, {name}{on}: "
        + ", ".join(f"{t} {scores[t]:.{_DECIMALS}f}" for t in table.tasks if t in scores)
        + "."
        for name, scores in table.about.references.items()
        if scores.keys() & table.tasks.keys()
    ]


def to_frame(tables: list[Table]) -> pd.DataFrame:
    """Return all tables in long form: one line for each row and task, and each row's two means.

    ``tasks`` are those that a line is over, as the command line takes them.
    """
    lines = []
    for part in (part for table in tables for part in parts(table)):
        table = part.table
        for row in table.rows:
            cells: list[tuple[str, Mapping[str, str], Summary | None]] = [
                (task, {task: group}, row.cell(task)) for task, group in table.tasks.items()
            ]
            means = zip(table.means, part.means(row), strict=True)
            cells += [(name, part.averaged, mean) for name, mean in means]
            lines += [
                {
                    "benchmark": table.benchmark,
                    "protocol": table.protocol,
                    "trained_on": table.trained_on,
                    "split": table.split,
                    "selection": table.selection,
                    "method": row.label,
                    "model": row.model,
                    "weights": row.weights,
                    "task": name,
                    "group": over.get(name, ""),
                    "metric": mean_measure(table.measures, task_weights(dict(over))).title,
                    "tasks": ",".join(over),
                    **score_columns(table, cell),
                    "std": cell.std if cell else None,
                    **interval_columns("", cell),
                    "seeds": cell.count if cell else 0,
                    **adapter_columns(row),
                    "mean_head_parameters": mean_head(part, row),
                }
                for name, over, cell in cells
            ]
    return pd.DataFrame(lines)


def score_columns(table: Table, cell: Summary | None) -> dict[str, float | None]:
    """Return ``cell`` for a frame in long form: its mean over seeds, of medians both."""
    over, value = table.about.over_seeds, cell.value if cell else None
    beside = cell.mean_beside if cell else None
    mean = value if beside is None else beside
    return {over: value} if over == "mean" else {over: value, "mean": mean}


def adapter_columns(row: Row) -> dict[str, int]:
    """Return the adapter's parameters for a frame in long form: their mean over runs, of which rows
    of several sizes have no model, and their ends."""
    least, most = row.sizes
    of = "adapter_parameters"
    return {of: row.adapter, f"{of}_least": least, f"{of}_most": most}


def sizes_sentence(rows: Iterable[Row]) -> list[str]:
    """Return what ranges of parameters are; nothing where each of ``rows`` has one size."""
    if not any(len(set(row.sizes)) > 1 for row in rows):
        return []
    return ["Parameters of rows of several sizes: the least to the greatest of their runs."]


def interval_columns(prefix: str, summary: Summary | None) -> dict[str, Any]:
    """Return the 95% interval over seeds for a frame in long form."""
    low, high = (summary.interval if summary else None) or (None, None)
    return {f"{prefix}ci95_low": low, f"{prefix}ci95_high": high}
