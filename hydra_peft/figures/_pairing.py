"""Which rows are set against which baseline, seed by seed, and on which tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hydra_peft.errors import UserError, did_you_mean
from hydra_peft.figures._sheets import Sheet, method_of
from hydra_peft.tables.complete import Seeds, shared_block

if TYPE_CHECKING:
    from hydra_peft.tables.rows import Row


def candidates_of(sheet: Sheet, name: str) -> list[Row]:
    """Return the rows that ``name`` may mean: that with this label, or all of the method.

    Raises:
        UserError: there is none.
    """
    rows = sheet.table.rows
    found = [row for row in rows if name in (row.label, sheet.label(row))]
    found = found or [row for row in rows if method_of(row) == name]
    if not found:
        labels = [sheet.label(row) for row in rows]
        known = [*labels, *(method_of(row) for row in rows)]
        raise UserError(
            f"baseline={name}: no completed run is of it{did_you_mean(name, known)}; there are "
            f"{', '.join(labels)}{sheet.elsewhere}."
        )
    return found


def pair(sheet: Sheet, candidates: Sequence[Row]) -> tuple[Row, list[Row], list[str]]:
    """Return the baseline with most runs to pair, the rows beside it, and the tasks of means.

    Rows that lack less than half of these tasks are among them; they have no mean.

    Raises:
        UserError: no other row has a task and a seed in common with any of ``candidates``.
    """
    rows, tasks = sheet.table.rows, list(sheet.table.tasks)
    best: tuple[Row, list[Row], list[str]] = (candidates[0], [], [])
    size = 0
    for baseline in sorted(candidates, key=lambda row: len(row.overrides)):
        at = next(at for at, row in enumerate(rows) if row is baseline)
        shared = [_shared(row, baseline) for row in rows]
        found, kept = shared_block(shared, tasks, with_row=at)
        if len(found) * len(kept) > size:
            size = len(found) * len(kept)
            there = [sum(bool(seeds.get(task)) for task in kept) for seeds in shared]
            near = [row for row, count in zip(rows, there, strict=True) if 2 * count > len(kept)]
            best = (baseline, [row for row in near if row is not baseline], kept)
    if not best[1]:
        raise UserError(
            f"no other row has a task and a seed in common with {sheet.label(best[0])} on "
            f"{sheet.table.benchmark}, protocol {sheet.table.protocol}{sheet.elsewhere}: there is "
            "no gain over it to draw."
        )
    return best


def mostly_there(
    tasks: Mapping[str, str], others: Sequence[Row], baseline: Row, averaged: Sequence[str]
) -> list[str]:
    """Return ``averaged`` and the other tasks on which most rows can be paired."""
    shared = [_shared(row, baseline) for row in others]
    counts = {task: sum(bool(seeds.get(task)) for seeds in shared) for task in tasks}
    return [task for task in tasks if task in averaged or 2 * counts[task] > len(others)]


def _shared(row: Row, baseline: Row) -> Seeds:
    """Return the seeds by task that both rows have."""
    return {
        task: seeds.keys() & baseline.scores.get(task, {}).keys()
        for task, seeds in row.scores.items()
    }
