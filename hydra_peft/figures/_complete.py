"""Cut a sheet down to the rows and tasks that means are taken over, and name what is left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hydra_peft.errors import UserError
from hydra_peft.figures._sheets import Sheet
from hydra_peft.tables.complete import complete, shared_block

if TYPE_CHECKING:
    from hydra_peft.tables.rows import Row

#: so many names stand in a sentence
_FEW = 4


def complete_part(sheet: Sheet, *, asked: bool) -> Sheet:
    """Return the part of ``sheet`` in which every row has runs on every task.

    Args:
        sheet: all rows and tasks.
        asked: whether its tasks were asked for by name; then all of them stay.

    Raises:
        UserError: no row has runs on all tasks that were asked for.
    """
    rows, tasks = sheet.table.rows, list(sheet.table.tasks)
    if not asked:
        found, kept = shared_block([row.scores for row in rows], tasks)
        return part(sheet, [rows[at] for at in found], kept)
    whole = [row for row in rows if complete(row.scores, tasks)]
    if not whole:
        raise UserError(
            f"no method has runs on all of {', '.join(tasks)}: give tasks=<those to compare on>."
        )
    return part(sheet, whole, tasks)


def part(sheet: Sheet, rows: Sequence[Row], tasks: Sequence[str]) -> Sheet:
    """Return ``sheet`` with ``rows`` and ``tasks`` alone; its ``left_out`` names the others."""
    table = sheet.table
    gone: dict[str, list[str]] = {}
    for task in table.tasks:
        if task not in tasks:
            lacking = [sheet.label(row) for row in rows if task not in row.scores]
            reason = f"no run of {some(lacking)}" if lacking else "no seed in common"
            gone.setdefault(reason, []).append(task)
    own = {id(row) for row in rows}
    for row in table.rows:
        if id(row) not in own:
            missing = [task for task in tasks if task not in row.scores]
            reason = f"no run on {some(missing)}" if missing else "no seed in common"
            gone.setdefault(reason, []).append(sheet.label(row))
    kept = sheet.part.only(rows, tasks)
    return dataclasses.replace(sheet, part=kept, left_out=(*sheet.left_out, *left_out(gone)))


def left_out(gone: Mapping[str, Sequence[str]]) -> list[str]:
    """Return what says that names are left out, by reason; nothing where there are none."""
    parts = [f"{some(names)} [{reason}]" for reason, names in gone.items() if names]
    return [f"Left out: {'; '.join(parts)}."] if parts else []


def some(names: Sequence[str]) -> str:
    """Return ``names`` in a row, of many the first and how many more there are."""
    if len(names) <= _FEW + 1:
        return ", ".join(names)
    return f"{', '.join(names[:_FEW])} and {len(names) - _FEW} more"
