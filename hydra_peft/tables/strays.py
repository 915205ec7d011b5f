"""Stray rows, tasks and seeds: a run or two beside a sweep that share little with the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from hydra_peft.plain_text import in_a_row
from hydra_peft.tables.parts import Part
from hydra_peft.tables.rows import Row


@dataclass(frozen=True)
class Strays:
    """Stray rows, tasks and seeds of a part of a table.

    Attributes:
        shared: the part without it.
        rows: rows on less than half of the tasks that means are over.
        tasks: tasks that means are not over and less than half of the other rows have, with the
            names of those that have it.
    """

    shared: Part
    rows: list[Row]
    tasks: Mapping[str, list[str]]

    @property
    def sentence(self) -> list[str]:
        """Sentence on the strays left out of a table of :attr:`shared`; empty without any."""
        names = self.shared.names
        said = [f"{names[id(row)]} (only on {', '.join(row.scores)})" for row in self.rows]
        said += [
            f"task {task} (only {in_a_row(found)})" for task, found in self.tasks.items() if found
        ]
        hint = " A row is kept where it is named by its label." if self.rows else ""
        if not said:
            return []
        return [f"Left out, as they share too little with the others: {'; '.join(said)}.{hint}"]


def strays(part: Part, asked: Collection[int] = (), least: int = 1) -> Strays:
    """Return the strays of ``part``; with fewer than two other rows there are none.

    Args:
        part: rows that compare.
        asked: ``id`` of rows that were asked for by name, so that they are no strays.
        least: tasks that fewer rows have are strays too.
    """
    rows, averaged = part.table.rows, part.averaged
    counts = [sum(task in row.scores for task in averaged) for row in rows]
    kept = [
        r for r, n in zip(rows, counts, strict=True) if 2 * n >= len(averaged) or id(r) in asked
    ]
    if len(kept) < min(2, len(rows)):
        return Strays(part, [], {})
    having = {task: [r for r in kept if task in r.scores] for task in part.table.tasks}
    enough = max(min(least, len(kept)), len(kept) / 2)
    tasks = [t for t, found in having.items() if t in part.averaged or len(found) >= enough]
    own = {id(row) for row in kept}
    return Strays(
        part.only(kept, tasks),
        [row for row in rows if id(row) not in own],
        {t: [part.names[id(r)] for r in f] for t, f in having.items() if t not in tasks},
    )


def wanted_seeds(part: Part, row: Row) -> set[int]:
    """Return the seeds that ``row`` should have on every task.

    Those of the benchmark that any row of ``part`` has, and of its own those that it or another row
    has on at least half of the tasks; all of its own where there is no such one.
    """
    tasks = part.table.tasks
    there = {seed for r in part.table.rows for task in tasks for seed in r.scores.get(task, ())}
    counts = [Counter(s for task in tasks for s in r.scores.get(task, ())) for r in part.table.rows]
    usual = {seed for count in counts for seed, n in count.items() if 2 * n >= len(tasks)}
    own = {seed for task in tasks for seed in row.scores.get(task, ())}
    return (own & usual or own) | there.intersection(part.table.about.seeds)
