"""Comparisons with the paper in the shape of the paper's tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from hydra_peft.plain_text import rounded
from hydra_peft.tables.deviations import decimals_of, fixed
from hydra_peft.tables.formats import render
from hydra_peft.tables.parts import common_sentence
from hydra_peft.tables.render import (
    cells_are,
    fewer_seeds,
    interval_columns,
    seeds,
    shown_mean,
    sizes_sentence,
    title,
    uneven_sentence,
)
from hydra_peft.tables.sheet import Sheet, ranks
from hydra_peft.tables.side_by_side import (
    FROM_CELLS,
    PRINTED,
    Block,
    MeasuredRow,
    PaperValue,
    Quantity,
    SideBySide,
    covered,
    describe,
)
from hydra_peft.tables.summaries import Summary

_LABEL, _PARAMETERS, _SEEDS = "row", "parameters (M)", "seeds (measured)"
#: rank of each paper's and measured row in each quantity, by what they are (``id``) and its name
_Ranks = Mapping[tuple[int, str], int | None]


def documents(sides: list[SideBySide], notes: list[str], form: str) -> dict[str, str]:
    """Return the whole text of each file of ``form``, by ending; the first is to be printed."""
    return render([sheet(side) for side in sides], lambda: to_frame(sides), notes, form)


def sheet(side: SideBySide) -> Sheet:
    """Return one comparison: a line for the paper's row, each measured one and its difference.

    Best and second are marked among the paper's rows as printed, and among those measured rows
    that are like the paper's; neither is ranked against the other.
    """
    ranked = _ranks(side)
    marks: dict[tuple[int, str], int] = {}
    ends, line = [], 0
    for block in side.blocks:
        for number, rated in enumerate([block, *block.measured]):
            at = line + (0 if number == 0 else 2 * number - 1)
            for q in side.quantities:
                mark = ranked.get((id(rated), q.name))
                if mark:
                    marks[at, q.title] = mark
        line += len(_lines(block, side.quantities))
        ends.append(line - 1)
    groups = {q.title: q.group.capitalize() for q in side.quantities if q.group}
    if len(side.spec.benchmark.groups) < 2:
        groups = {}
    protocol = side.table.protocol if side.table else ""
    return Sheet(
        _title(side),
        texts(side),
        groups,
        marks,
        ends,
        above=common_sentence(side.measured, side.common, "measured "),
        below=_below(side),
        name=f"table{side.spec.number} {protocol}",
    )


def _ranks(side: SideBySide) -> _Ranks:
    found: dict[tuple[int, str], int | None] = {}
    measured = [row for block in side.blocks for row in block.measured if row.like_paper]
    for q in side.quantities:
        printed = [(block, block.paper[q.name]) for block in side.blocks]
        values = [v.value if v and v.source == PRINTED else None for _, v in printed]
        for (block, _), rank in zip(printed, ranks(values), strict=True):
            found[id(block), q.name] = rank
        means = [row.values[q.name] for row in measured]
        # What is printed alike is ranked alike.
        ours = [float(_mean(mean, q, q.decimals)) if mean else None for mean in means]
        for row, rank in zip(measured, ranks(ours), strict=True):
            found[id(row), q.name] = rank
    return found


def texts(side: SideBySide) -> pd.DataFrame:
    """Return the comparison as it is read: columns are the paper's and our means, cells texts."""
    lines = [line for block in side.blocks for line in _lines(block, side.quantities)]
    columns = [_LABEL, _PARAMETERS, *(q.title for q in side.quantities), _SEEDS]
    return pd.DataFrame([{column: line.get(column, "-") for column in columns} for line in lines])


def _lines(block: Block, quantities: list[Quantity]) -> list[dict[str, str]]:
    lines = [_paper_line(block, quantities)]
    for measured in block.measured:
        lines.append(_measured_line(measured, block, quantities))
        lines.append(
            {_LABEL: "difference"}
            | {q.title: _signed(measured.differences[q.name], q, block) for q in quantities}
        )
    if block.awaited:
        lines.append({_LABEL: block.awaited})
    return lines


def _paper_line(block: Block, quantities: list[Quantity]) -> dict[str, str]:
    return {
        _LABEL: block.label,
        _PARAMETERS: block.parameters.text if block.parameters else "-",
        **{quantity.title: _paper_text(block.paper[quantity.name]) for quantity in quantities},
    }


def _paper_text(value: PaperValue | None) -> str:
    if value is None:
        return "-"
    return f"{value.text} ({FROM_CELLS})" if value.source == FROM_CELLS else value.text


def _measured_line(
    measured: MeasuredRow, block: Block, quantities: list[Quantity]
) -> dict[str, str]:
    row, head = measured.row, measured.mean_head
    with_head = "-" if head is None else row.parameters(head, ".2f", 1e6)
    return {
        _LABEL: measured.label,
        _PARAMETERS: f"{row.parameters(0.0, '.2f', 1e6)} / {with_head}",
        **{q.title: _percent(measured, q, block) for q in quantities},
        _SEEDS: seeds(row),
    }


def _decimals(quantity: Quantity, block: Block) -> int:
    """Number of digits to print: as many as the paper has in this cell."""
    number = block.published.numbers.get(quantity.column)
    return decimals_of(number) if number else quantity.decimals


def _mean(summary: Summary, quantity: Quantity, decimals: int) -> str:
    """Return a cell rounded as in the plain tables, and a mean rounded as the paper's means."""
    value = summary.value
    return fixed(value, decimals) if quantity.is_mean else f"{value:.{decimals}f}"


def _percent(measured: MeasuredRow, quantity: Quantity, block: Block) -> str:
    summary = measured.values[quantity.name]
    if summary is None:
        return "-"
    decimals = _decimals(quantity, block)
    mean, seeds_of_it = _mean(summary, quantity, decimals), fewer_seeds(summary, measured.row)
    if summary.std is None:
        return f"{mean}{seeds_of_it}"
    return f"{mean} ± {summary.std:.{decimals}f}{shown_mean(summary, decimals)}{seeds_of_it}"


def _signed(difference: float | None, quantity: Quantity, block: Block) -> str:
    if difference is None:
        return "-"
    return rounded(difference, _decimals(quantity, block), sign=True)


def _title(side: SideBySide) -> str:
    shown = f"Table {side.spec.number} of the paper ({side.spec.title})"
    if side.table is None:
        return f"{shown}: nothing measured yet"
    return f"{shown} beside measured {title(side.table)}"


def _below(side: SideBySide) -> list[str]:
    """Return the lines below the table: how to read it, what was measured, what is missing."""
    tasks = len(side.spec.benchmark.tasks)
    measured, rows = [], [row for block in side.blocks for row in block.measured]
    for row in rows:
        what = describe(row.row)
        named = row.label if what in row.label else f"{row.label}: {what}"
        measured.append(f"{named}: {covered(row.row, side.spec)} of {tasks} tasks.")
    count, *notes = side.notes
    uneven = uneven_sentence((row.values[q.name], row.row) for row in rows for q in side.quantities)
    return [
        _legend(side),
        *uneven,
        *sizes_sentence(row.row for row in rows),
        *measured,
        count,
        *(f"note: {note}" for note in notes),
    ]


def _legend(side: SideBySide) -> str:
    benchmark = side.spec.benchmark
    groups = benchmark.groups
    rule = "Average: plain mean over tasks."
    if benchmark.main_mean[1] == "groups":
        sizes = ", ".join(f"{group} {len(tasks)}" for group, tasks in groups.items())
        rule = (
            f"Average, and mean over groups: mean of the groups' means ({sizes}), which the "
            "paper's average is. Mean over tasks: plain mean, which it is not."
        )
    return (
        "paper: arXiv 2309.06922 as printed; (from cells): computed from the printed cells. "
        f"measured: {cells_are(benchmark.over_seeds)}; means are taken per seed, over "
        "the seeds that all of their tasks have; '-' where a run is missing. difference: measured "
        f"- paper. {rule} Measured parameters: without head / with mean head. Bold is the best of "
        "a column, underlined the second, among the paper's rows as printed (the published text "
        'has lost its own marks; its "best on 11 of 20" of Table 1 counts all rows) and apart '
        "from them among the measured rows that are like the paper's."
    )


def to_frame(sides: list[SideBySide]) -> pd.DataFrame:
    """Return all comparisons in long form: a line for each row, measured row and quantity."""
    lines = []
    for side in sides:
        ranked = _ranks(side)
        for block in side.blocks:
            rows: list[MeasuredRow | None] = [*block.measured] or [None]
            for measured in rows:
                lines += [
                    _frame_context(side)
                    | _frame_paper(block, q, ranked)
                    | _frame_measured(measured, q, ranked, side.spec.benchmark.over_seeds)
                    for q in side.quantities
                ]
    frame = pd.DataFrame(lines)
    # Counts with gaps would become floats.
    counts = ["paper_rank", "measured_rank", "measured_seeds", "measured_adapter_parameters"]
    return frame.astype(dict.fromkeys(counts, "Int64"))


def _frame_context(side: SideBySide) -> dict[str, Any]:
    table = side.table
    return {
        "table": side.spec.number,
        "benchmark": side.spec.benchmark.name,
        "protocol": table.protocol if table else None,
        "trained_on": table.trained_on if table else None,
        "split": table.split if table else None,
        "selection": table.selection if table else None,
        "selected_on_test": table.selected_on_test if table else None,
    }


def _frame_paper(block: Block, quantity: Quantity, ranked: _Ranks) -> dict[str, Any]:
    value = block.paper[quantity.name]
    return {
        "row": block.key,
        "task": quantity.name,
        "group": quantity.group or None,
        "paper": value.value if value else None,
        "paper_source": value.source if value else None,
        "paper_rank": ranked.get((id(block), quantity.name)),
        "paper_average_printed": block.average.value if block.average else None,
        "paper_parameters_m": block.parameters.value if block.parameters else None,
    }


def _frame_measured(
    measured: MeasuredRow | None, quantity: Quantity, ranked: _Ranks, over: str
) -> dict[str, Any]:
    value = measured.values[quantity.name] if measured else None
    return {
        "measured_row": measured.label if measured else None,
        "measured_method": measured.row.label if measured else None,
        "measured_model": measured.row.model if measured else None,
        "measured_weights": measured.row.weights if measured else None,
        f"measured_{over}": value.value if value else None,
        "measured_std": value.std if value else None,
        **interval_columns("measured_", value),
        "measured_seeds": value.count if value else 0,
        "measured_rank": ranked.get((id(measured), quantity.name)) if measured else None,
        "difference": measured.differences[quantity.name] if measured else None,
        "measured_adapter_parameters": measured.row.adapter if measured else None,
        "measured_mean_head_parameters": measured.mean_head if measured else None,
    }
