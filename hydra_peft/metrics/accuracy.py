"""Top-1 accuracy."""

from __future__ import annotations

from hydra_peft.metrics._base import Array, Metric


def score(outputs: Array, targets: Array) -> float:
    """Return the percentage of examples whose largest output is their class's."""
    # A count, and no library that takes a second to import in each process that trains.
    return 100.0 * int((outputs.argmax(axis=1) == targets).sum()) / len(targets)


METRIC = Metric("accuracy", "accuracy", score, kinds=("classification",), counts=True)
