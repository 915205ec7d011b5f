"""Results of a made-up record in the short form of schema 1: one flat mapping, ``metrics``."""

from __future__ import annotations

import dataclasses
from typing import Any

from hydra_peft.metrics import find_metric
from hydra_peft.runs.record import Record
from hydra_peft.runs.schema1 import upgraded
from hydra_peft.training.evaluation import Score

FIELDS = ("scores", "primary", "selection", "counts", "training")


def fields(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a record whose results are ``metrics``."""
    empty = {name: "" if name == "primary" else {} for name in FIELDS}
    found = upgraded({"metrics": metrics})
    return {name: found.get(name, empty[name]) for name in FIELDS}


def in_fields(values: dict[str, Any]) -> dict[str, Any]:
    """Return ``values`` with the fields in the place of ``metrics``, where there are any."""
    others = {key: value for key, value in values.items() if key != "metrics"}
    return others | (fields(values["metrics"]) if "metrics" in values else {})


def flat(record: Record) -> dict[str, Any]:
    """Return the results of ``record`` in the short form."""
    found = {"accuracy": record.score, "selection": record.rule, "split": record.split}
    found |= {new: record.counts[old] for old, new in (("scored", "count"), ("correct", "correct"))}
    found |= {"epoch": record.selection["epoch"]} if "epoch" in record.selection else {}
    return found | {f"train_{name}": value for name, value in record.training.items()}


def changed(record: Record, **metrics: Any) -> Record:
    """Return ``record`` with other results."""
    return dataclasses.replace(record, **fields(flat(record) | metrics))


def results(record: Record) -> dict[str, Any]:
    """Return all that a run gave, to compare runs by."""
    return {name: getattr(record, name) for name in FIELDS}


def correct(score: Score) -> int:
    """Return the number of examples that were right."""
    return score.counts(find_metric("accuracy"))["correct"]
