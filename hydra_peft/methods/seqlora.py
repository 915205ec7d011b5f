"""SeqLoRA: the sequential branch alone (paper eq. 6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hydra_peft.limits import Rank
from hydra_peft.methods._low_rank import LowRankMethod


@dataclass(frozen=True)
class SeqLora(LowRankMethod):
    """SeqLoRA; rank 6 with branch biases has the paper's Table 8 budget (239,760 on ViT-B/16)."""

    name: ClassVar[str] = "seqlora"
    rank: Rank = 6

    def ranks(self) -> tuple[int, int]:
        """``(0, rank)``."""
        return 0, self.rank


METHOD = SeqLora
