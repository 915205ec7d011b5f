"""Captions of figures: what the runs behind a picture were trained and scored on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from hydra_peft.plain_text import shortened
from hydra_peft.runs.record import Record
from hydra_peft.tables.grouping import run_label
from hydra_peft.tables.labels import PARTIAL, RANDOM, weights_label
from hydra_peft.tables.overrides import Defaults

#: characters of a name in a picture; records may hold anything, and drawing it takes as long
LONGEST = 60


def drawable(record: Record) -> Record:
    """Return ``record`` with names that fit into a picture, cut at :data:`LONGEST` characters."""
    names = ("benchmark", "group", "task", "model", "method_label", "protocol")
    cut: dict[str, Any] = {name: shortened(getattr(record, name), LONGEST) for name in names}
    return replace(record, **cut)


def describe_runs(
    records: Iterable[Record], defaults: Defaults | None, labels: Sequence[str] = ()
) -> str:
    """Return in one line on what was measured: tasks, methods, backbones, protocols, seeds.

    Where runs differ all values are listed, a caption hides no mixture; but of tasks, if they are
    many, their number. Methods are called as their rows in tables are.

    Args:
        records: of the runs.
        defaults: as of :func:`~hydra_peft.tables.grouping.build_tables`.
        labels: of the rows that the runs are in; by default those of rows of one run.
    """
    found = [drawable(record) for record in records]

    def values(get: list[str]) -> str:
        return ", ".join(dict.fromkeys(get))

    seeds = sorted({record.seed for record in found})
    partial = any(record.data.get("partial") for record in found)
    parts = [
        _tasks(found),
        values([*labels] or [run_label(record, defaults) for record in found]),
        values([f"{record.model} ({weights_label(record)})" for record in found]),
        f"protocol {values([record.protocol for record in found])}",
        f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}",
    ]
    return "Measured: " + "; ".join([*parts, *([PARTIAL] if partial else [])])


def warnings(records: Iterable[Record]) -> list[str]:
    """Return the warnings that a picture of ``records`` must show: random weights, partial data."""
    found = list(records)
    random = any(weights_label(record) == RANDOM for record in found)
    partial = any(record.data.get("partial") for record in found)
    return [RANDOM] * random + [PARTIAL] * partial


def _tasks(records: list[Record]) -> str:
    tasks: dict[str, dict[str, None]] = {}
    for record in records:
        tasks.setdefault(record.benchmark, {})[record.task] = None
    return ", ".join(
        f"{len(names)} tasks of {benchmark}" if len(names) > 3 else f"{benchmark}/{'+'.join(names)}"
        for benchmark, names in tasks.items()
    )
