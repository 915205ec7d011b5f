"""LoRA: the parallel branch alone (paper eq. 2; Hu et al., arXiv 2106.09685)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hydra_peft.limits import Rank
from hydra_peft.methods._low_rank import LowRankMethod


@dataclass(frozen=True)
class Lora(LowRankMethod):
    """LoRA; rank 4 with branch biases is the paper's Table 8 row (276,576 on ViT-B/16)."""

    name: ClassVar[str] = "lora"
    rank: Rank = 4

    def ranks(self) -> tuple[int, int]:
        """``(rank, 0)``."""
        return self.rank, 0


METHOD = Lora
