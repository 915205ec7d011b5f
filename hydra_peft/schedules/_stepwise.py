"""Schedules that move at each step: a linear warm-up, then a decay over the rest of training."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

from hydra_peft.schedules._base import LearningRate, Schedule


@dataclass(frozen=True)
class Stepwise(Schedule):
    """A line from ``warmup_lr`` up to the peak over ``warmup_epochs``, then :meth:`decay`."""

    @abstractmethod
    def decay(self, progress: float, lr: float) -> float:
        """Return the rate at a share ``progress`` (from 0 to below 1) of the steps after warm-up.

        Args:
            lr: the peak rate.
        """

    def rates(self, lr: float, epochs: int) -> LearningRate:
        """Return the learning rate at each step of ``epochs`` epochs, with its peak at ``lr``."""

        def rate(epoch: int, step: int, steps: int) -> float:
            done, warmup = epoch * steps + step, self.warmup_epochs * steps
            if done < warmup:
                return self.warmup_lr + (lr - self.warmup_lr) * done / warmup
            return self.decay((done - warmup) / max(1, epochs * steps - warmup), lr)

        return rate
