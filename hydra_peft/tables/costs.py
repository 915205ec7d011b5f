"""Costs of rows beside their scores: parameters, training rate, peak memory, size of the adapter.

Rows are in the order of their means. Which of them the seeds do not tell from the best one is
marked, so that nobody reads an order into less than the spread over seeds.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from hydra_peft.plain_text import in_a_row, rounded, rounded_end, shortened
from hydra_peft.runs.record import Record
from hydra_peft.tables.formats import render
from hydra_peft.tables.parts import Part, bounds_sentence, measures_sentence, parts
from hydra_peft.tables.render import (
    adapter_columns,
    interval_columns,
    part_name,
    part_title,
    score_columns,
    sizes_sentence,
)
from hydra_peft.tables.rows import Row, Table
from hydra_peft.tables.sheet import BEST, Sheet
from hydra_peft.tables.signed_rank import TOLERANCE
from hydra_peft.tables.summaries import Difference, Summary, summarize_differences

_MB, _KB = 1e6, 1e3
#: characters of the name of a machine
_LONGEST = 80


@dataclass(frozen=True)
class Cost:
    """Score and costs of one row.

    Attributes:
        label: what the row is called.
        row: the row itself.
        mean: the benchmark's main mean; None where the row lacks a task.
        behind: the row's mean less that of the best row, over the seeds of both; None for the best
            row, without a mean and without a common seed.
        behind_median: the same of the two medians, of a benchmark whose means are medians over
            seeds; else None.
        records: the runs that the mean is of; all of a row without a mean.
        rate: median over :attr:`alone` of the images (texts) that training took in a second; None
            where no run says.
        memory: median over the same of their peak, in bytes; None likewise.
        file: median over :attr:`records` of the size of ``adapter.safetensors``, head included, in
            bytes; None likewise.
    """

    label: str
    row: Row
    mean: Summary | None
    behind: Difference | None
    behind_median: float | None
    records: list[Record]
    rate: float | None
    memory: float | None
    file: float | None

    @property
    def alone(self) -> list[Record]:
        """The runs that computed their steps alone: others had time and memory in common."""
        return _alone(self.records)

    @property
    def alike(self) -> bool:
        """Whether the 95% interval of :attr:`behind` has 0 in it."""
        interval = self.behind.interval if self.behind else None
        return interval is not None and interval[0] <= TOLERANCE and interval[1] >= -TOLERANCE


def documents(
    tables: list[Table], sizes: Mapping[int, int], notes: list[str], form: str
) -> dict[str, str]:
    """Return the whole text of each file of ``form``, by ending; the first is to be printed.

    Args:
        tables: measured rows.
        sizes: bytes of the adapter's file of a run, by the ``id`` of its record.
        notes: sentences that concern all tables.
        form: one of :data:`~hydra_peft.tables.formats.FORMATS`.
    """
    found = [part for table in tables for part in parts(table)]
    return render([sheet(part, sizes) for part in found], lambda: _frame(found, sizes), notes, form)


def costs(part: Part, sizes: Mapping[int, int]) -> list[Cost]:
    """Return the rows of ``part`` with their costs, the best mean first, without a mean last."""
    means = {id(row): part.means(row)[-1] for row in part.table.rows}
    sign = part.measures[-1].sign or 1

    def place(row: Row) -> tuple[bool, float]:
        mean = means[id(row)]
        return mean is None, 0.0 if mean is None else -sign * mean.value

    rows = sorted(part.table.rows, key=place)
    rated = [row for row in rows if row.checked] or rows
    best = next((row for row in rated if means[id(row)]), None)
    return [_cost(part, row, means[id(row)], best, sizes) for row in rows]


def _cost(
    part: Part, row: Row, mean: Summary | None, best: Row | None, sizes: Mapping[int, int]
) -> Cost:
    seeds = row.by_seed(part.main_weights)
    ours, theirs = _paired(part, row, best) if best and best is not row else ([], [])
    own = [r for r in row.records if r.task in part.averaged and r.seed in seeds] or row.records
    alone = _alone(own)
    return Cost(
        part.names[id(row)],
        row,
        mean,
        _mean_behind(part, ours, theirs),
        statistics.median(ours) - statistics.median(theirs) if ours and _of_medians(part) else None,
        own,
        _median([record.images_per_second for record in alone]),
        _median([record.memory.get("bytes") for record in alone]),
        _median([sizes.get(id(record)) for record in own]),
    )


def _alone(records: list[Record]) -> list[Record]:
    return [record for record in records if record.together == 1]


def _of_medians(part: Part) -> bool:
    return part.table.about.over_seeds == "median"


def _paired(part: Part, row: Row, best: Row) -> tuple[list[float], list[float]]:
    """Return the means of both rows with each seed that both have."""
    ours, theirs = row.by_seed(part.main_weights), best.by_seed(part.main_weights)
    shared = sorted(ours.keys() & theirs.keys())
    return [ours[seed] for seed in shared], [theirs[seed] for seed in shared]


def _mean_behind(part: Part, ours: list[float], theirs: list[float]) -> Difference | None:
    differences = [one - other for one, other in zip(ours, theirs, strict=True)]
    return summarize_differences(differences, part.measures[-1].width) if differences else None


def _median(values: list[float | int | None]) -> float | None:
    found = [float(value) for value in values if value]
    return statistics.median(found) if found else None


def sheet(part: Part, sizes: Mapping[int, int]) -> Sheet:
    """Return the costs of the rows of ``part`` as they are read."""
    name, found = part.mean_titles[-1], costs(part, sizes)
    score = f"{name}{', median' * _of_medians(part)} [95% interval]"
    digits = part.measures[-1].decimals()
    lines = [
        {
            "method": cost.label,
            score: _with_interval(cost.mean, digits),
            "from the best": _from_best(cost, digits),
            "seeds": f"{cost.mean.count}" if cost.mean else "-",
            "parameters without head": cost.row.parameters(),
            "training, examples/s": _shown(cost.rate, 1),
            "peak memory, MB": _shown(cost.memory, _MB),
            "adapter file, kB": _shown(cost.file, _KB),
        }
        for cost in found
    ]
    # What is printed alike is marked alike.
    means = [cost.mean and rounded(cost.mean.value, digits) for cost in found]
    marks = {
        (number, score): BEST
        for number, cost in enumerate(found)
        if cost.alike or (cost.mean and means[number] == means[0])
    }
    return Sheet(
        f"{part_title(part)}: costs",
        pd.DataFrame(lines),
        marks=marks if any(cost.behind for cost in found) else {},
        above=part.sentences,
        below=[*_legend(part, found), *measures_sentence(part.table)],
        name=f"{part_name(part)} costs",
    )


def _legend(part: Part, found: list[Cost]) -> list[str]:
    records = [record for cost in found for record in cost.records]
    peaks = sorted({str(r.memory["of"]) for r in records if r.memory.get("bytes")})
    memory = f"Peak memory: of the {' or the '.join(peaks)}. " if peaks else ""
    return [
        _from_best_sentence(part),
        bounds_sentence(part.table),
        f"{memory}Rate, memory and file: medians over the runs that the mean is of, or all of a "
        f"row without, on {_hardware(records)}. The file holds the head too.",
        *_without(found),
        *sizes_sentence(part.table.rows),
    ]


def _from_best_sentence(part: Part) -> str:
    of, which, whose = "means", "[95% interval] by Student's t", "difference"
    if _of_medians(part):
        of, which = "medians", f"and in brackets the mean of the differences by seed, {which}"
        whose = "mean difference"
    return (
        f"From the best: the difference of the {of} over the seeds of both, {which}. Bold: the "
        f"best {of.removesuffix('s')}, and those of rows whose {whose} from it may be chance (0 "
        "is in the interval), said to be equal. A row without an interval (fewer than two seeds "
        "in common with the best) is not judged."
    )


def _without(found: list[Cost]) -> list[str]:
    """Say why rows have no rate, or none of some of their runs."""
    shared = "trained together with others, so that time and memory were not theirs alone"
    packed = [cost.label for cost in found if not cost.alone]
    partly = [cost.label for cost in found if 0 < len(cost.alone) < len(cost.records)]
    idle = [cost.label for cost in found if not cost.row.trains]
    unsaid = [c.label for c in found if c.rate is None and c.label not in (*packed, *idle)]
    reasons = {
        f"No rate and memory of {in_a_row(packed)}: these runs {shared}.": packed,
        f"Rate and memory of {in_a_row(partly)} without the runs that {shared}.": partly,
        f"No rate of {in_a_row(idle)}: nothing is trained.": idle,
        f"No rate of {in_a_row(unsaid)}: these runs recorded none.": unsaid,
    }
    return [sentence for sentence, labels in reasons.items() if labels]


def _hardware(records: list[Record]) -> str:
    said = [r.hardware.get("gpu") or r.hardware.get("cpu") or "unknown" for r in records]
    names = {shortened(str(name), _LONGEST) for name in said}
    threads = sorted({str(count) for r in records if (count := r.hardware.get("threads"))})
    counts = f", {' or '.join(threads)} thread{'s' * (threads != ['1'])}" if threads else ""
    return " or ".join(sorted(names)) + counts


def _with_interval(mean: Summary | None, digits: int) -> str:
    if mean is None:
        return "-"
    ends = [rounded(end, digits) for end in mean.interval or ()]
    return rounded(mean.value, digits) + _in_brackets(ends)


def _from_best(cost: Cost, digits: int) -> str:
    if cost.behind is None:
        return "-"
    ends = [rounded_end(end, digits) for end in cost.behind.interval or ()]
    mean = rounded(cost.behind.value, digits, sign=True) + _in_brackets(ends)
    if cost.behind_median is None:
        return mean
    median = rounded(cost.behind_median, digits, sign=True)
    return f"{median} (mean {mean})" if cost.behind.count > 1 else median


def _in_brackets(ends: list[str]) -> str:
    return f" [{', '.join(ends)}]" if ends else ""


def _shown(value: float | None, unit: float) -> str:
    return "-" if value is None else f"{value / unit:,.0f}"


def _frame(found: list[Part], sizes: Mapping[int, int]) -> pd.DataFrame:
    """Return all rows in long form; sizes in bytes."""
    return pd.DataFrame(
        {
            "benchmark": part.table.benchmark,
            "protocol": part.table.protocol,
            "method": cost.row.label,
            "model": cost.row.model,
            "weights": cost.row.weights,
            "mean_over": part.table.about.main_mean[1],
            "tasks": ",".join(part.averaged),
            **score_columns(part.table, cost.mean),
            "std": cost.mean.std if cost.mean else None,
            **interval_columns("", cost.mean),
            "from_best": cost.behind.value if cost.behind else None,
            **interval_columns("from_best_", cost.behind),
            **({"from_best_median": cost.behind_median} if _of_medians(part) else {}),
            "alike": cost.alike,
            "seeds": cost.mean.count if cost.mean else 0,
            **adapter_columns(cost.row),
            "examples_per_second": cost.rate,
            "peak_bytes": cost.memory,
            "adapter_bytes": cost.file,
        }
        for part in found
        for cost in costs(part, sizes)
    )
