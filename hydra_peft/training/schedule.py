"""The learning rate at each step."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from timm.scheduler.cosine_lr import CosineLRScheduler

#: from epoch and step within it (both from 0) and steps per epoch to the learning rate
LearningRate = Callable[[int, int, int], float]


def build_schedule(
    name: str,
    *,
    epochs: int,
    lr: float,
    warmup_epochs: int,
    warmup_lr: float,
    min_lr: float,
    period_epochs: int | None,
) -> LearningRate:
    """Return the schedule called ``name``.

    Args:
        name: ``cosine`` or ``timm_cosine``, see :func:`cosine_with_warmup` and :func:`timm_cosine`.
        epochs: length of training.
        lr: the rate that the warm-up reaches.
        warmup_epochs: length of the warm-up.
        warmup_lr: the rate at the first step.
        min_lr: the rate at the end of the cosine.
        period_epochs: length of the cosine of ``timm_cosine``; None is ``epochs``.
    """
    if name == "timm_cosine":
        rates = timm_cosine(
            epochs,
            lr=lr,
            warmup_epochs=warmup_epochs,
            warmup_lr=warmup_lr,
            min_lr=min_lr,
            period_epochs=period_epochs or epochs,
        )
        return lambda epoch, _step, _steps: rates[epoch]
    return lambda epoch, step, steps: cosine_with_warmup(
        epoch * steps + step,
        total_steps=epochs * steps,
        warmup_steps=warmup_epochs * steps,
        lr=lr,
        warmup_lr=warmup_lr,
        min_lr=min_lr,
    )


def timm_cosine(
    epochs: int,
    *,
    lr: float,
    warmup_epochs: int,
    warmup_lr: float,
    min_lr: float,
    period_epochs: int,
) -> list[float]:
    """Return the rate of each epoch under timm's scheduler, called as the released code calls it.

    extremebird/Hydra (``vtab1k``) steps timm's ``CosineLRScheduler`` with the 0-based epoch after
    each epoch, so the first two epochs run at ``warmup_lr``, and the cosine counts from epoch 0
    although the warm-up takes its beginning. Its period there is 500 epochs, of which 100 are run.
    """
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = CosineLRScheduler(
        optimizer,
        t_initial=period_epochs,
        warmup_t=warmup_epochs,
        lr_min=min_lr,
        warmup_lr_init=warmup_lr,
        cycle_decay=0.1,
    )
    rates = []
    for epoch in range(epochs):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        scheduler.step(epoch)
    return rates


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
