"""Linear decay, moved at each step: the schedule of BERT's fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

from hydra_peft.schedules._stepwise import Decaying


@dataclass(frozen=True)
class Linear(Decaying):
    """A line from the peak down to ``min_lr``.

    With ``min_lr=0`` and ``warmup_lr=0`` it equals ``get_linear_schedule_with_warmup`` of
    huggingface/transformers.
    """

    name: ClassVar[str] = "linear"
    added: ClassVar[Mapping[str, Any]] = MappingProxyType({**Decaying.added, "period_epochs": None})

    def decay(self, progress: float, lr: float) -> float:
        """Return the line's value at ``progress``."""
        return self.min_lr + (lr - self.min_lr) * (1.0 - progress)


SCHEDULE = Linear
