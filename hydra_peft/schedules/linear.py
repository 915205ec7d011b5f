"""Linear decay, moved at each step: the schedule of BERT's fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

from hydra_peft.schedules._base import EndRate, Epochs
from hydra_peft.schedules._stepwise import Stepwise, check_no_period


@dataclass(frozen=True)
class Linear(Stepwise):
    """A line from the peak down to ``min_lr``, which the step after the last one would reach.

    With ``min_lr=0`` and ``warmup_lr=0`` it equals ``get_linear_schedule_with_warmup`` of
    huggingface/transformers.

    Attributes:
        min_lr: learning rate that the line ends at.
        period_epochs: None; only ``timm_cosine`` has a period of its own.
    """

    name: ClassVar[str] = "linear"
    added: ClassVar[Mapping[str, Any]] = MappingProxyType({**Stepwise.added, "period_epochs": None})
    min_lr: EndRate
    period_epochs: Epochs | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_no_period(self.name, self.period_epochs)

    def decay(self, progress: float, lr: float) -> float:
        """Return the line's value at ``progress``."""
        return self.min_lr + (lr - self.min_lr) * (1.0 - progress)

    def ends(self) -> dict[str, float]:
        """Return both ends."""
        return {"min_lr": self.min_lr, **super().ends()}


SCHEDULE = Linear
