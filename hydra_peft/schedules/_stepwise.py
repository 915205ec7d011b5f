"""Schedules that move at each step: a linear warm-up, then a decay over the rest of training."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass

from hydra_peft.errors import UserError
from hydra_peft.schedules._base import EndRate, Epochs, LearningRate, Schedule


@dataclass(frozen=True)
class Stepwise(Schedule):
    """A line from ``warmup_lr`` up to the peak over the warm-up, then :meth:`decay`."""

    def warmup_steps(self, steps: int, epochs: int) -> int:
        """Return the length of the warm-up.

        Args:
            steps: of an epoch.
            epochs: of training.
        """
        return math.ceil(self.warmup_ratio * steps * epochs) or self.warmup_epochs * steps

    @abstractmethod
    def decay(self, progress: float, lr: float) -> float:
        """Return the rate at a share ``progress`` (from 0 to below 1) of the steps after warm-up.

        Args:
            lr: the peak rate.
        """

    def rates(self, lr: float, epochs: int) -> LearningRate:
        """Return the learning rate at each step of ``epochs`` epochs, with its peak at ``lr``."""

        def rate(epoch: int, step: int, steps: int) -> float:
            done, warmup = epoch * steps + step, self.warmup_steps(steps, epochs)
            if done < warmup:
                return self.warmup_lr + (lr - self.warmup_lr) * done / warmup
            return self.decay((done - warmup) / max(1, epochs * steps - warmup), lr)

        return rate


@dataclass(frozen=True)
class Decaying(Stepwise):
    """A decay to ``min_lr``, which the step after the last one would reach.

    Attributes:
        min_lr: learning rate at the end.
        period_epochs: None; only ``timm_cosine`` has a period of its own.
    """

    min_lr: EndRate
    period_epochs: Epochs | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.period_epochs is not None:
            raise UserError(
                "scheduler.period_epochs is for scheduler.name=timm_cosine: the decay of "
                f"scheduler.name={self.name} always ends with training."
            )

    def ends(self) -> dict[str, float]:
        """Return both ends."""
        return {"min_lr": self.min_lr, **super().ends()}
