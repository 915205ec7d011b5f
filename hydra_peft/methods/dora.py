"""DoRA: lengths and directions of a weight's rows trained apart (Liu et al., arXiv 2402.09353)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hydra_peft.adapters.initializers import Init
from hydra_peft.errors import UserError
from hydra_peft.limits import Rank, Scale, Share
from hydra_peft.methods._linear import LinearMethod

if TYPE_CHECKING:
    from torch import nn

    from hydra_peft.adapters.base import Adapter


@dataclass(frozen=True)
class Dora(LinearMethod):
    r"""DoRA; see :class:`hydra_peft.adapters.dora.DoraLinear` for the formula. Merges exactly.

    A layer has rank (in + out) + out parameters.

    Attributes:
        targets: name patterns of the layers to adapt.
        rank: rank of the update of the direction.
        scale: factor of that update; the release and peft have alpha / rank there.
        dropout: dropout probability on what reads the update.
        init: initialiser of the down-projection.
    """

    name: ClassVar[str] = "dora"
    rank: Rank = 4
    scale: Scale = 1.0
    dropout: Share = 0.0
    init: Init = "kaiming"

    def ranks(self) -> tuple[int, ...]:
        """``(rank,)``."""
        return (self.rank,)

    def check_fit(self, layer: nn.Linear) -> None:
        """Check the rank against one layer, and that the layer is what its weight says."""
        from torch import nn

        from hydra_peft.adapters.low_rank import check_ranks

        check_ranks(layer, self.rank, 0)
        if type(layer).forward is not nn.Linear.forward:
            raise UserError(
                f"a {type(layer).__name__} has a forward of its own, whose output is not that of "
                "its weight, which dora takes apart: leave it out of targets, or use lora."
            )

    def adapters(self, layers: Mapping[str, nn.Linear]) -> dict[str, Adapter]:
        """Return a :class:`~hydra_peft.adapters.dora.DoraLinear` around each layer."""
        from hydra_peft.adapters.dora import DoraLinear

        return {
            name: DoraLinear(
                layer, rank=self.rank, scale=self.scale, dropout=self.dropout, init=self.init
            )
            for name, layer in layers.items()
        }

    @property
    def label(self) -> str:
        """Name and rank, such as ``dora r=4``."""
        return f"{self.name} r={self.rank}"


METHOD = Dora
