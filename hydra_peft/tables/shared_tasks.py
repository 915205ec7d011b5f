"""Tasks that the means of a table are over, where not every row has a run on every task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hydra_peft.tables.complete import shared_block
from hydra_peft.tables.measures import Measure, one_scale

if TYPE_CHECKING:
    from hydra_peft.tables.rows import Row


def shared_tasks(
    rows: Sequence[Row], tasks: Mapping[str, str], measures: Mapping[str, Measure]
) -> dict[str, str]:
    """Return the tasks, with their groups, that means over ``rows`` are to be taken over.

    Tasks whose scores are of one scale (``measures``), of these all where two rows (or the only
    one) have all of them. Else those of the largest part of the table without a hole: a run on a
    task of its own costs no other row its mean. Where not even two rows share a task, all tasks.
    """
    alike = one_scale(list(tasks), measures)
    found, kept = shared_block([row.scores for row in rows], alike)
    return {task: tasks[task] for task in (kept if len(found) * len(kept) > 1 else alike)}
