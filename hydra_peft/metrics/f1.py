"""F1 of class 1 against class 0."""

from __future__ import annotations

from hydra_peft.metrics._base import Array, Metric


def score(outputs: Array, targets: Array) -> float:
    """Return the harmonic mean in percent of precision and recall of class 1; 0 without any."""
    from sklearn.metrics import f1_score

    return 100.0 * float(f1_score(targets, outputs.argmax(axis=1), zero_division=0.0))


METRIC = Metric("f1", "F1", score, kinds=("classification",), classes=2)
