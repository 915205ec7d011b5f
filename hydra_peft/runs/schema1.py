"""Reader of records of schema 1, whose results stood in one mapping, ``metrics``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_BEST = re.compile(r"best of (\d+) evaluations on (.*)", re.DOTALL)


def upgraded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record of schema 1 in the layout of schema 2; values are not checked here.

    Schema 1 knew one metric, top-1 accuracy on one split, and told the rule of selection in words.
    """
    found = {key: value for key, value in values.items() if key != "metrics"} | {"schema": 2}
    metrics = values.get("metrics", {})
    if not isinstance(metrics, dict):
        return found | {"scores": metrics}
    if isinstance(values.get("tuning"), dict):
        found["tuning"] = _tuning(values["tuning"])
    if not metrics:
        return found
    if not isinstance(split := metrics.get("split", ""), str):
        return found | {"selection": {"split": split}}
    if "accuracy" in metrics:
        found |= {"primary": "accuracy", "scores": {split: {"accuracy": metrics["accuracy"]}}}
    names = {"count": "scored", "correct": "correct"}
    trained = {"train_loss": "loss", "train_accuracy": "accuracy"}
    return found | {
        "selection": _selection(metrics),
        "counts": {new: metrics[old] for old, new in names.items() if old in metrics},
        "training": {new: metrics[old] for old, new in trained.items() if old in metrics},
    }


def _selection(metrics: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: metrics[key] for key in ("split", "epoch") if key in metrics}
    rule = metrics.get("selection")
    best = _BEST.fullmatch(rule) if isinstance(rule, str) else None
    if best is not None and best[2] == metrics.get("split"):
        return {**found, "rule": "best", "evaluations": int(best[1][:9])}
    if "selection" not in metrics:
        return found
    return {**found, "rule": "last" if rule == "last epoch" else rule}


def _tuning(tuning: Mapping[str, Any]) -> dict[str, Any]:
    """Return a search whose trials have a ``score``, which was their ``accuracy``."""
    tried = tuning.get("candidates")
    if not isinstance(tried, list):
        return dict(tuning)
    renamed = [
        {"score" if key == "accuracy" else key: value for key, value in one.items()}
        if isinstance(one, dict)
        else one
        for one in tried
    ]
    return {**tuning, "candidates": renamed}
