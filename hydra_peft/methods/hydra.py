"""Hydra: parallel and sequential branch together (paper eq. 10)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hydra_peft.limits import Rank
from hydra_peft.methods._low_rank import LowRankMethod


@dataclass(frozen=True)
class Hydra(LowRankMethod):
    """Hydra; rank 2 in both branches with biases is the paper's (239,712 on ViT-B/16).

    Attributes:
        rank: rank of both branches.
        rank_parallel: rank of the parallel branch alone, in the place of ``rank``.
        rank_sequential: rank of the sequential branch alone, in the place of ``rank``.
    """

    name: ClassVar[str] = "hydra"
    rank: Rank = 2
    rank_parallel: Rank | None = None
    rank_sequential: Rank | None = None

    def ranks(self) -> tuple[int, int]:
        """Both ranks, each its own key's or ``rank``."""
        parallel = self.rank if self.rank_parallel is None else self.rank_parallel
        sequential = self.rank if self.rank_sequential is None else self.rank_sequential
        return parallel, sequential


METHOD = Hydra
