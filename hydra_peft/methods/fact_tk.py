"""FacT in the Tucker form: a core that layers share too (Jie and Deng, arXiv 2212.03145)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hydra_peft.methods._fact import FactMethod

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class FactTk(FactMethod):
    """FacT-TK; 1536 r + 144 r + r^3 parameters on ViT-B/16 (30,976 at rank 16, 86,528 at 32)."""

    name: ClassVar[str] = "fact_tk"

    def cores(self, chunks: Mapping[str, tuple[int, int]], like: Tensor) -> dict[str, nn.Module]:
        """Return what takes each layer's slices out of one tensor, in the model's order."""
        from hydra_peft.adapters.fact import TuckerCore, tucker_factors
        from hydra_peft.adapters.packed_qkv import is_packed

        cube, mixing = tucker_factors(self.rank, sum(w * r for w, r in chunks.values()), like)
        cores: dict[str, nn.Module] = {}
        first = 0
        for name, (written, read) in chunks.items():
            cores[name] = TuckerCore(
                cube, mixing, first=first, written=written, read=read, packed=is_packed(name)
            )
            first += written * read
        return cores


METHOD = FactTk
