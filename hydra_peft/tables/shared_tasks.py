"""Which tasks the means of a table are over, where not every row has a run on every task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hydra_peft.tables.summaries import task_weights

if TYPE_CHECKING:
    from hydra_peft.tables.rows import Row


def shared_tasks(rows: Sequence[Row], tasks: Mapping[str, str]) -> dict[str, str]:
    """Return the tasks, with their groups, that means over ``rows`` are to be taken over.

    All of ``tasks`` where two rows (or the only one) have all of them. Else tasks that the fewest
    rows have are left out one after the other, and those that were left when most cells stood in
    complete rows are returned: a run on a task of its own costs no other row its mean. Where not
    even two rows share a task, all tasks.
    """
    left = dict(tasks)
    found, most = dict(tasks), 0
    while left:
        complete = sum(row.mean(task_weights(left)) is not None for row in rows)
        if left == dict(tasks) and complete >= min(2, len(rows)):
            return left
        if complete * len(left) > max(most, 1):
            found, most = dict(left), complete * len(left)
        counts = {task: sum(task in row.scores for row in rows) for task in left}
        # Of equals the last one goes.
        del left[min(reversed(counts), key=counts.__getitem__)]
    return found
