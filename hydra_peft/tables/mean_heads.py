"""Parameters of the mean head of a row: over the tasks that the means of its table are over."""

from __future__ import annotations

import statistics
from typing import Any

from hydra_peft.plain_text import in_a_row
from hydra_peft.tables.left_out import filled
from hydra_peft.tables.parts import Part
from hydra_peft.tables.rows import Row


def mean_head(part: Part, row: Row) -> float:
    """Return the parameters of the head of ``row``, averaged over the tasks of the means.

    On a task that it has no run on they are those of another row of ``part`` with such a head.
    Where there is none, the average is over the tasks that the row has runs on.
    """
    return statistics.fmean(_by_task(part, row) or row.heads.values())


def heads_sentence(part: Part) -> list[str]:
    """Return over which tasks heads are averaged; nothing where all rows have runs on these."""
    lacking = [row for row in part.table.rows if not part.averaged.keys() <= row.heads.keys()]
    lacking = [row for row in lacking if row.trains]
    if not lacking:
        return []
    own = [part.names[id(row)] for row in lacking if not _by_task(part, row)]
    said = "With mean head: averaged over the tasks of the means"
    if own != [part.names[id(row)] for row in lacking]:
        said += ", also in rows without runs on some of these"
    if own:
        said += f"; of {in_a_row(own)} over own tasks, as no row has such a head on the others"
    return [f"{said}."]


def _by_task(part: Part, row: Row) -> list[int]:
    """Return the parameters of the head of ``row`` on each task of the means; nothing where they
    are not known of one."""
    alike = [row, *(other for other in part.table.rows if _head(other) == _head(row))]
    found = [
        next((other.heads[task] for other in alike if task in other.heads), None)
        for task in part.averaged
    ]
    known = [size for size in found if size is not None]
    return known if len(known) == len(found) else []


def _head(row: Row) -> tuple[bool, dict[str, Any]]:
    """Return what the head's size on a task depends on: whether it is trained, its settings and
    those of the backbone, whose width may be one of them."""
    settings = filled(row.settings)
    return row.trains, {k: settings[k] for k in settings if k.startswith(("head.", "model."))}
