"""Made-up records whose score is of another metric than accuracy."""

from __future__ import annotations

import dataclasses

from hydra_peft.runs.record import Record


def scored(record: Record, metric: str, value: float) -> Record:
    """Return ``record`` with ``value`` of ``metric`` as its score, and no training accuracy."""
    return dataclasses.replace(
        record,
        scores={record.split: {metric: value}},
        primary=metric,
        counts={"scored": 100},
        training={},
    )
