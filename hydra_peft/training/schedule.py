"""The learning rate at each step."""

from __future__ import annotations

import math


def cosine_with_warmup(
    step: int,
    *,
    total_steps: int,
    warmup_steps: int,
    lr: float,
    warmup_lr: float = 0.0,
    min_lr: float = 0.0,
) -> float:
    """Return the learning rate of ``step`` (0-based) out of ``total_steps``.

    Warm-up: a line from ``warmup_lr`` that reaches ``lr`` at step ``warmup_steps``. Then half a
    cosine from ``lr`` down to ``min_lr``, which the step after the last one would reach.
    """
    if step < warmup_steps:
        return warmup_lr + (lr - warmup_lr) * step / warmup_steps
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return min_lr + 0.5 * (lr - min_lr) * (1.0 + math.cos(math.pi * progress))
