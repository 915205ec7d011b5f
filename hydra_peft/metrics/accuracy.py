"""Top-1 accuracy."""

from __future__ import annotations

from hydra_peft.metrics._base import Array, Metric


def score(outputs: Array, targets: Array) -> float:
    """Return the percentage of examples whose largest output is their class's."""
    from sklearn.metrics import accuracy_score

    # As a count first: hits and examples reproduce the value to the last digit.
    hits = accuracy_score(targets, outputs.argmax(axis=1), normalize=False)
    return 100.0 * int(hits) / len(targets)


METRIC = Metric("accuracy", "accuracy", score, kinds=("classification",), counts=True)
