"""Tables of measured rows, as they are read and in long form."""

from __future__ import annotations

from typing import Any

import pandas as pd

from hydra_peft.tables.formats import render
from hydra_peft.tables.rows import Row, Summary, Table
from hydra_peft.tables.sheet import Sheet


def documents(tables: list[Table], notes: list[str], form: str) -> dict[str, str]:
    """Return the whole text of each file of ``form``, by ending; the first is to be printed."""
    return render([sheet(table) for table in tables], lambda: to_frame(tables), notes, form)


def sheet(table: Table) -> Sheet:
    """Return ``table``: methods by tasks, mean and standard deviation over seeds."""
    return Sheet(title(table), _texts(table), below=[_legend(table)])


def signed(value: float, decimals: int) -> str:
    """Return a difference with its sign; what rounds to zero has none."""
    rounded = round(value, decimals)
    return f"{rounded:+.{decimals}f}" if rounded else f"{0:.{decimals}f}"


def title(table: Table) -> str:
    """Return what the table shows in one line."""
    warning = " (selected on the test set)" if table.selected_on_test else ""
    return (
        f"{table.benchmark}{warning}: accuracy on {table.split} (%), trained on "
        f"{table.trained_on}, protocol {table.protocol}, {table.selection}"
    )


def _texts(table: Table) -> pd.DataFrame:
    return pd.DataFrame([_text_row(row, table) for row in table.rows])


def _text_row(row: Row, table: Table) -> dict[str, str]:
    columns = {"method": row.label, "backbone": f"{row.model}, {row.weights}"}
    columns |= {task: _percent(row.cell(task)) for task in table.tasks}
    columns["mean over tasks"] = _percent(row.mean_over_tasks(table.tasks))
    columns["mean over groups"] = _percent(row.mean_over_groups(table.tasks))
    columns["seeds"] = seeds(row)
    columns["parameters without head"] = f"{row.adapter:,}"
    columns["with mean head"] = f"{row.adapter + row.mean_head():,.0f}"
    return columns


def _percent(summary: Summary | None) -> str:
    if summary is None:
        return "-"
    spread = "" if summary.std is None else f" ± {summary.std:.1f}"
    return f"{summary.mean:.1f}{spread}"


def seeds(row: Row) -> str:
    """Return the number of seeds of a row's cells, such as ``3`` or ``1-3``."""
    counts = sorted({len(scores) for scores in row.scores.values()})
    return f"{counts[0]}" if len(counts) == 1 else f"{counts[0]}-{counts[-1]}"


def _legend(table: Table) -> str:
    groups: dict[str, list[str]] = {}
    for task, group in table.tasks.items():
        groups.setdefault(group, []).append(task)
    listed = "; ".join(f"{group}: {', '.join(tasks)}" for group, tasks in groups.items())
    return (
        f"Groups: {listed}. Cells: mean ± sample standard deviation over seeds. Mean over tasks: "
        "plain mean of the task columns. Mean over groups: mean of the groups' means. Both are "
        "taken per seed; '-' where a run is missing."
    )


def to_frame(tables: list[Table]) -> pd.DataFrame:
    """Return all tables in long form: one line for each row and task, and each row's two means."""
    lines = []
    for table in tables:
        for row in table.rows:
            cells: list[tuple[str, str, Summary | None]] = [
                (task, group, row.cell(task)) for task, group in table.tasks.items()
            ]
            cells.append(("mean over tasks", "", row.mean_over_tasks(table.tasks)))
            cells.append(("mean over groups", "", row.mean_over_groups(table.tasks)))
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
                    "task": task,
                    "group": group,
                    "mean": cell.mean if cell else None,
                    "std": cell.std if cell else None,
                    **interval_columns("", cell),
                    "seeds": cell.count if cell else 0,
                    "adapter_parameters": row.adapter,
                    "mean_head_parameters": row.mean_head(),
                }
                for task, group, cell in cells
            ]
    return pd.DataFrame(lines)


def interval_columns(prefix: str, summary: Summary | None) -> dict[str, Any]:
    """Return the 95% interval (Student's t over seeds) for a frame in long form."""
    low, high = (summary.interval if summary else None) or (None, None)
    return {f"{prefix}t95_low": low, f"{prefix}t95_high": high}
