"""Comparisons with the paper as Markdown, CSV and LaTeX, in the shape of the paper's tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd

from hydra_peft.tables.latex import to_latex
from hydra_peft.tables.render import (
    endings,
    latex_document,
    markdown_document,
    seeds,
    title,
)
from hydra_peft.tables.rows import Summary
from hydra_peft.tables.side_by_side import (
    FROM_CELLS,
    Block,
    MeasuredRow,
    PaperValue,
    Quantity,
    SideBySide,
    covered,
    describe,
    fixed,
)

_LABEL, _PARAMETERS = "row", "parameters (M)"
_AVERAGE, _SEEDS = "average (paper, printed)", "seeds (measured)"


def documents(sides: list[SideBySide], notes: list[str], form: str) -> dict[str, str]:
    """Return the whole text of each file of ``form``, by ending; the first is to be printed."""
    make: dict[str, Callable[[], str]] = {
        "md": lambda: markdown_document([to_markdown(side) for side in sides], notes),
        "csv": lambda: to_frame(sides).to_csv(index=False),
        "tex": lambda: latex_document([_to_latex(side) for side in sides], notes),
    }
    return {ending: make[ending]() for ending in endings(form)}


def to_markdown(side: SideBySide) -> str:
    """Return one comparison: a line for the paper's row, each measured one and its difference."""
    body = texts(side).to_markdown(index=False, disable_numparse=True)
    below = "\n".join(f"- {line}" for line in _below(side))
    return f"### {_title(side)}\n\n{body}\n\n{below}\n"


def _to_latex(side: SideBySide) -> str:
    ends, row = [], -1
    for block in side.blocks:
        row += len(_lines(block, side))
        ends.append(row)
    return to_latex(texts(side), caption=_title(side), notes=_below(side), rules_after=ends)


def texts(side: SideBySide) -> pd.DataFrame:
    """Return the comparison as it is read: columns are tasks and means, cells are texts."""
    lines = [line for block in side.blocks for line in _lines(block, side)]
    columns = [_LABEL, _PARAMETERS, _AVERAGE, *(q.name for q in side.quantities), _SEEDS]
    if side.spec.summary:
        columns.remove(_AVERAGE)  # the table's one quantity is that average
    return pd.DataFrame([{column: line.get(column, "-") for column in columns} for line in lines])


def _lines(block: Block, side: SideBySide) -> list[dict[str, str]]:
    lines = [_paper_line(block, side.quantities)]
    for measured in block.measured:
        lines.append(_measured_line(measured, side.quantities))
        lines.append(
            {_LABEL: "difference"}
            | {q.name: _signed(measured.differences[q.name], q) for q in side.quantities}
        )
    if block.awaited:
        lines.append({_LABEL: block.awaited})
    return lines


def _paper_line(block: Block, quantities: list[Quantity]) -> dict[str, str]:
    return {
        _LABEL: block.label,
        _PARAMETERS: block.parameters.text if block.parameters else "-",
        _AVERAGE: block.average.text if block.average else "-",
        **{quantity.name: _paper_text(block.paper[quantity.name]) for quantity in quantities},
    }


def _paper_text(value: PaperValue | None) -> str:
    if value is None:
        return "-"
    return f"{value.text} ({FROM_CELLS})" if value.source == FROM_CELLS else value.text


def _measured_line(measured: MeasuredRow, quantities: list[Quantity]) -> dict[str, str]:
    adapter, head = measured.row.adapter, measured.mean_head
    with_head = "-" if head is None else f"{(adapter + head) / 1e6:.2f}"
    return {
        _LABEL: measured.label,
        _PARAMETERS: f"{adapter / 1e6:.2f} / {with_head}",
        **{q.name: _percent(measured.values[q.name], q) for q in quantities},
        _SEEDS: seeds(measured.row),
    }


def _percent(summary: Summary | None, quantity: Quantity) -> str:
    """Return a cell as in the plain tables, and a mean rounded as the paper's mean beside it."""
    if summary is None:
        return "-"
    decimals = quantity.decimals
    mean = fixed(summary.mean, decimals) if quantity.is_mean else f"{summary.mean:.{decimals}f}"
    return mean if summary.std is None else f"{mean} ± {summary.std:.{decimals}f}"


def _signed(difference: float | None, quantity: Quantity) -> str:
    if difference is None:
        return "-"
    rounded = round(difference, quantity.decimals)
    return f"{rounded:+.{quantity.decimals}f}" if rounded else f"{0:.{quantity.decimals}f}"


def _title(side: SideBySide) -> str:
    shown = f"Table {side.number} of the paper ({side.spec.title})"
    if side.table is None:
        return f"{shown}: nothing measured yet"
    return f"{shown} beside measured {title(side.table)}"


def _below(side: SideBySide) -> list[str]:
    """Return the lines below the table: how to read it, what was measured, what is missing."""
    tasks = len(side.spec.benchmark.tasks)
    measured = []
    for row in (row for block in side.blocks for row in block.measured):
        what = describe(row.row)
        named = row.label if what in row.label else f"{row.label}: {what}"
        measured.append(f"{named}: {covered(row.row, side.spec)} of {tasks} tasks.")
    count, *notes = side.notes
    return [_legend(side), *measured, count, *(f"note: {note}" for note in notes)]


def _legend(side: SideBySide) -> str:
    groups = side.spec.benchmark.groups
    means = "Mean over tasks: plain mean."
    if len(groups) > 1:
        sizes = ", ".join(f"{group} {len(tasks)}" for group, tasks in groups.items())
        means = (
            f"Mean over groups: mean of the groups' means ({sizes}), which the paper's average "
            "is. Mean over tasks: plain mean, which it is not."
        )
    return (
        "paper: arXiv 2309.06922 as printed; (from cells): computed from the printed cells. "
        "measured: mean ± sample standard deviation over seeds; means are taken per seed, over "
        "the seeds that all of their tasks have; '-' where a run is missing. difference: measured "
        f"- paper. {means} Measured parameters: without head / with mean head."
    )


def to_frame(sides: list[SideBySide]) -> pd.DataFrame:
    """Return all comparisons in long form: a line for each row, measured row and quantity."""
    lines = []
    for side in sides:
        for block in side.blocks:
            rows: list[MeasuredRow | None] = [*block.measured] or [None]
            for measured in rows:
                lines += [
                    _frame_context(side) | _frame_paper(block, q) | _frame_measured(measured, q)
                    for q in side.quantities
                ]
    frame = pd.DataFrame(lines)
    # Counts with gaps would become floats.
    counts = ["measured_seeds", "measured_adapter_parameters"]
    return frame.astype(dict.fromkeys(counts, "Int64"))


def _frame_context(side: SideBySide) -> dict[str, Any]:
    table = side.table
    return {
        "table": side.number,
        "benchmark": side.spec.benchmark.name,
        "protocol": table.protocol if table else None,
        "trained_on": table.trained_on if table else None,
        "split": table.split if table else None,
        "selection": table.selection if table else None,
        "selected_on_test": table.selected_on_test if table else None,
    }


def _frame_paper(block: Block, quantity: Quantity) -> dict[str, Any]:
    value = block.paper[quantity.name]
    return {
        "row": block.published.label,
        "task": quantity.name,
        "group": quantity.group or None,
        "paper": value.value if value else None,
        "paper_source": value.source if value else None,
        "paper_average_printed": block.average.value if block.average else None,
        "paper_parameters_m": block.parameters.value if block.parameters else None,
    }


def _frame_measured(measured: MeasuredRow | None, quantity: Quantity) -> dict[str, Any]:
    value = measured.values[quantity.name] if measured else None
    return {
        "measured_row": measured.label if measured else None,
        "measured_method": measured.row.label if measured else None,
        "measured_model": measured.row.model if measured else None,
        "measured_weights": measured.row.weights if measured else None,
        "measured_mean": value.mean if value else None,
        "measured_std": value.std if value else None,
        "measured_seeds": value.count if value else 0,
        "difference": measured.differences[quantity.name] if measured else None,
        "measured_adapter_parameters": measured.row.adapter if measured else None,
        "measured_mean_head_parameters": measured.mean_head if measured else None,
    }
