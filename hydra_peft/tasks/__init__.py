"""Kinds of task by name: one module each, its class bound to ``TASK``."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from hydra_peft.errors import UserError
from hydra_peft.metrics import find_metric, metric_names
from hydra_peft.registry import find_module
from hydra_peft.tasks._base import Task

__all__ = ["Task", "build_task"]


def build_task(
    kind: str, *, outputs: int, metrics: Sequence[str], label_smoothing: float = 0.0
) -> Task:
    """Return a task of the kind called ``kind``.

    Args:
        outputs: width of the head.
        metrics: names of its metrics; the first is the primary one.
        label_smoothing: of the cross-entropy.

    Raises:
        UserError: an unknown kind or metric, one that cannot score this kind, or a number that the
            kind has no use for.
    """
    cls: type[Task] = find_module(sys.modules[__name__], kind, "dataset.kind").TASK
    chosen = tuple(find_metric(name) for name in metrics)
    if not chosen:
        raise UserError(f"a {kind} task needs at least one metric: set dataset.metric.")
    for metric in chosen:
        if not set(metric.kinds) & set(cls.kinds()):
            known = [find_metric(name) for name in metric_names()]
            fitting = [one.name for one in known if set(one.kinds) & set(cls.kinds())]
            raise UserError(
                f"metric '{metric.name}' cannot score tasks of kind {kind}: choose one of "
                f"{', '.join(fitting)}."
            )
        if metric.classes not in (None, outputs):
            raise UserError(
                f"metric '{metric.name}' scores tasks of {metric.classes} classes, and this one "
                f"has {outputs}: choose another metric."
            )
    return cls(outputs, chosen, label_smoothing)
