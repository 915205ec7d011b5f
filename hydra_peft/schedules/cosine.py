"""Cosine decay, moved at each step (Loshchilov and Hutter, arXiv 1608.03983)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from hydra_peft.schedules._stepwise import Decaying


@dataclass(frozen=True)
class Cosine(Decaying):
    """Half a cosine from the peak down to ``min_lr``."""

    name: ClassVar[str] = "cosine"

    def decay(self, progress: float, lr: float) -> float:
        """Return the cosine's value at ``progress``."""
        return self.min_lr + 0.5 * (lr - self.min_lr) * (1.0 + math.cos(math.pi * progress))


SCHEDULE = Cosine
