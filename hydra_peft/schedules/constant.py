"""A constant learning rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hydra_peft.schedules._stepwise import Stepwise


@dataclass(frozen=True)
class Constant(Stepwise):
    """The peak rate at every step after the warm-up."""

    name: ClassVar[str] = "constant"

    def decay(self, progress: float, lr: float) -> float:  # noqa: ARG002
        """Return ``lr``."""
        return lr


SCHEDULE = Constant
