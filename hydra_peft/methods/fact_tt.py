"""FacT in the tensor-train form: a core for each layer (Jie and Deng, arXiv 2212.03145)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hydra_peft.methods._fact import FactMethod

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class FactTt(FactMethod):
    """FacT-TT; 1536 r + 144 r^2 parameters on ViT-B/16 (61,440 at rank 16)."""

    name: ClassVar[str] = "fact_tt"

    def cores(self, chunks: Mapping[str, tuple[int, int]], like: Tensor) -> dict[str, nn.Module]:
        """Return a matrix for each layer."""
        from hydra_peft.adapters.fact import OwnCore

        return {
            name: OwnCore(like, written * self.rank, read * self.rank)
            for name, (written, read) in chunks.items()
        }


METHOD = FactTt
