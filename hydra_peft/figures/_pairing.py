"""Rows paired with a baseline by seed: who can be, on which tasks, and why others can not."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from hydra_peft.errors import UserError, did_you_mean
from hydra_peft.figures._sheets import Sheet, method_of, some
from hydra_peft.listed import as_known, without_brackets
from hydra_peft.plain_text import in_a_row
from hydra_peft.tables.complete import Seeds, shared_block

if TYPE_CHECKING:
    from hydra_peft.tables.parts import Part
    from hydra_peft.tables.rows import Row

#: the baseline where none is given
USUAL = "lora"
#: why there is no gain: of a task or a mean, of a task, of a mean
NO_RUN, APART, SPLIT = "no run", "no seed in common", "no seed on all tasks"


def candidates_of(sheet: Sheet, name: str, leaving_out: Callable[[str], str]) -> list[Row]:
    """Return the rows that ``name`` may mean: that with this label, or all of the method.

    Args:
        leaving_out: says of a name that no row has what leaves its runs out, empty for nothing.

    Raises:
        UserError: there is none.
    """
    from hydra_peft.tables.called import labels_by_row

    rows = sheet.table.rows
    named = labels_by_row(sheet.part)
    labels = {label for own in named.values() for label in own}
    name = as_known(name if name in labels else without_brackets(name), labels)
    found = [row for row in rows if name in named[id(row)] or name == sheet.label(row)]
    found = found or [row for row in rows if method_of(row) == name]
    if not found:
        shown = [sheet.label(row) for row in rows]
        known = [*shown, *(method_of(row) for row in rows)]
        why = f"no completed run is of it{did_you_mean(name, known)}; there are"
        if out := leaving_out(name):
            why = f"{out}; what is left is"
        elsewhere = sheet.elsewhere
        if there := [at for at, part in sheet.others.items() if _has(part, name)]:
            sheets = ", ".join(f"sheet={at}" for at in there)
            why = f"its completed runs are in another picture ({sheets}); in this one are"
            elsewhere = ""
        usual = name == USUAL
        over = f"gains are over {name} where no baseline= is given" if usual else f"baseline={name}"
        raise UserError(f"{over}: {why} {in_a_row(shown)}{elsewhere}.")
    return found


def _has(part: Part, name: str) -> bool:
    """Whether ``part`` has a row with this label, or of this method."""
    from hydra_peft.tables.called import names_by_row

    return any(name in names for names in names_by_row(part).values())


def paired_rows(sheet: Sheet, candidates: Sequence[Row]) -> tuple[Row, list[Row], list[str]]:
    """Return the baseline, the rows beside it, and the tasks of means.

    Of those that have at least half as many runs to pair as another, the baseline is the one
    whose label says the least, in words. Rows that lack less than half of these tasks, or
    seeds of some, are among them; they have no mean.

    Raises:
        UserError: no other row has a task and a seed in common with any of ``candidates``.
    """
    found = [(row, *_paired(sheet, row)) for row in candidates]
    most = max(size for _, size, _, _ in found)
    if not most:
        raise UserError(
            f"no other row has a task and a seed in common with {sheet.label(candidates[0])} on "
            f"{sheet.table.benchmark}, protocol {sheet.table.protocol}{sheet.elsewhere}: there is "
            "no gain over it to draw."
        )
    rich = [one for one in found if 2 * one[1] >= most]
    baseline, _, others, tasks = min(
        rich, key=lambda one: (len(sheet.label(one[0]).split()), -one[1])
    )
    return baseline, others, tasks


def _paired(sheet: Sheet, baseline: Row) -> tuple[int, list[Row], list[str]]:
    """Return how many runs can be paired with ``baseline``, of which rows, and the tasks of means.

    None can where there is no other row.
    """
    rows, tasks = sheet.table.rows, list(sheet.table.tasks)
    at = next(at for at, row in enumerate(rows) if row is baseline)
    shared = [shared_seeds(row, baseline) for row in rows]
    found, kept = shared_block(shared, tasks, with_row=at)
    others = [
        row
        for row, seeds in zip(rows, shared, strict=True)
        if row is not baseline
        and any(seeds.get(task) for task in kept)
        and 2 * sum(task in row.scores for task in kept) > len(kept)
    ]
    return len(found) * len(kept) if others else 0, others, kept


def mostly_there(
    tasks: Mapping[str, str], others: Sequence[Row], baseline: Row, averaged: Sequence[str]
) -> list[str]:
    """Return ``averaged`` and the other tasks on which most rows can be paired."""
    shared = [shared_seeds(row, baseline) for row in others]
    counts = {task: sum(bool(seeds.get(task)) for seeds in shared) for task in tasks}
    return [task for task in tasks if task in averaged or 2 * counts[task] > len(others)]


def why_apart(row: Row, baseline: Row, tasks: Sequence[str]) -> str:
    """Say which seeds ``row`` lacks to be paired with ``baseline`` on ``tasks``."""
    shared = shared_seeds(row, baseline)
    without = [task for task in tasks if not shared.get(task)]
    if not without:
        return SPLIT
    return APART if len(without) == len(tasks) else f"{APART} on {some(without)}"


def shared_seeds(row: Row, baseline: Row) -> Seeds:
    """Return the seeds by task that both rows have."""
    return {
        task: seeds.keys() & baseline.scores.get(task, {}).keys()
        for task, seeds in row.scores.items()
    }


def gains_by_seed(row: Row, baseline: Row, weights: Mapping[str, float]) -> list[float]:
    """Return the difference of the weighted means for each seed that both have on every task."""
    both = [set(side.scores.get(task, {})) for side in (row, baseline) for task in weights]
    return [
        math.fsum(
            weight * (row.scores[task][seed] - baseline.scores[task][seed])
            for task, weight in weights.items()
        )
        for seed in sorted(set.intersection(*both))
    ]


def why_missing(row: Row, baseline: Row, tasks: Collection[str]) -> str:
    """Say why ``row`` has no gain over ``tasks``, a single one or those of a mean."""
    if not all(task in side.scores for side in (row, baseline) for task in tasks):
        return NO_RUN
    return APART if len(tasks) == 1 else SPLIT
