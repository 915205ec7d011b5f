"""The largest part of a table without a hole: the rows and tasks that means may be taken over."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

#: task to the seeds that a row has on it
Seeds = Mapping[str, Collection[int]]
#: sets of tasks that are looked at; sweeps make a handful
_MOST = 1000


def complete(row: Seeds, tasks: Collection[str]) -> bool:
    """Whether ``row`` has a seed with runs on all of ``tasks``, of which there is at least one."""
    return bool(set.intersection(*(set(row.get(task, ())) for task in tasks)))


def _by_seed(row: Seeds, tasks: Collection[str]) -> list[frozenset[str]]:
    """Return the tasks that ``row`` has with each of its seeds."""
    seeds = sorted({seed for task in tasks for seed in row.get(task, ())})
    return [frozenset(task for task in tasks if seed in row.get(task, ())) for seed in seeds]


def largest_block(
    rows: Sequence[Seeds], tasks: Collection[str], *, least: int = 1, with_row: int | None = None
) -> tuple[list[int], list[str]]:
    """Return the rows and the tasks with a run of each row on each task that are most runs.

    Of as many runs more rows are better, then what comes first. A stray run beside a sweep is so
    left out, be it of a task that the other rows lack or of a row that lacks the other tasks.

    Args:
        rows: the seeds that each row has on each task.
        tasks: those to choose from, in their order.
        least: so many rows at least.
        with_row: index of a row that must be among them.

    Returns:
        Indices of rows and names of tasks, both in order; both empty where there are none.
    """
    choices = {frozenset(tasks)}
    for own in dict.fromkeys(own for row in rows for own in _by_seed(row, tasks)):
        choices |= {own & other for other in choices}
        if len(choices) > _MOST:
            choices = set(sorted(choices, key=lambda c: (-len(c), sorted(c)))[:_MOST])
    best: tuple[list[int], list[str]] = ([], [])
    for choice in sorted(choices, key=lambda c: (-len(c), sorted(c))):
        found = [at for at, row in enumerate(rows) if choice and complete(row, choice)]
        if len(found) < least or (with_row is not None and with_row not in found):
            continue
        size, known = len(found) * len(choice), len(best[0]) * len(best[1])
        if (size, len(found)) > (known, len(best[0])):
            best = (found, [task for task in tasks if task in choice])
    return best


def shared_block(
    rows: Sequence[Seeds], tasks: Sequence[str], with_row: int | None = None
) -> tuple[list[int], list[str]]:
    """Return the rows that a mean can be taken of, and the tasks that it is over.

    All tasks, where two rows (or the only one) have all of them: what a row lacks costs the others
    nothing. Of three rows or more, all that are not of one row alone: what it has more costs them
    nothing either. Else the largest block of two rows or more, with ``with_row`` where it is
    given; without it, where no two rows share a task, the largest of one row.
    """
    several = [task for task in tasks if sum(bool(row.get(task)) for row in rows) > 1]
    for common in (list(tasks), several if len(rows) > 2 else []):
        found = [at for at, row in enumerate(rows) if common and complete(row, common)]
        if len(found) >= min(2, len(rows)) and (with_row is None or with_row in found):
            return found, common
    block = largest_block(rows, tasks, least=2, with_row=with_row)
    return block if block[0] or with_row is not None else largest_block(rows, tasks)
