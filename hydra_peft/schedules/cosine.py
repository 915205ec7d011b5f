"""Cosine decay, moved at each step (Loshchilov and Hutter, arXiv 1608.03983)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from hydra_peft.schedules._base import EndRate, Epochs
from hydra_peft.schedules._stepwise import Stepwise, check_no_period


@dataclass(frozen=True)
class Cosine(Stepwise):
    """Half a cosine from the peak down to ``min_lr``, which the step after the last would reach.

    Attributes:
        min_lr: learning rate that the cosine ends at.
        period_epochs: None; only ``timm_cosine`` has a period of its own.
    """

    name: ClassVar[str] = "cosine"
    min_lr: EndRate
    period_epochs: Epochs | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_no_period(self.name, self.period_epochs)

    def decay(self, progress: float, lr: float) -> float:
        """Return the cosine's value at ``progress``."""
        return self.min_lr + 0.5 * (lr - self.min_lr) * (1.0 + math.cos(math.pi * progress))

    def ends(self) -> dict[str, float]:
        """Return both ends."""
        return {"min_lr": self.min_lr, **super().ends()}


SCHEDULE = Cosine
