"""Shared part of LoRA, SeqLoRA and Hydra: low-rank branches on chosen linear layers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from hydra_peft.adapters.initializers import initializer
from hydra_peft.errors import UserError
from hydra_peft.limits import Scale, Share
from hydra_peft.methods._linear import LinearMethod

if TYPE_CHECKING:
    from torch import nn

    from hydra_peft.adapters.base import Adapter


@dataclass(frozen=True)
class LowRankMethod(LinearMethod):
    """Options of every low-rank method; see :class:`hydra_peft.adapters.low_rank.LowRankLinear`.

    Attributes:
        targets: name patterns of the layers to adapt.
        scale: factor of the branches.
        dropout: dropout probability on the rank-r features.
        bias: whether the branches have biases.
        init: initialiser of the down-projections.
    """

    scale: Scale = 1.0
    dropout: Share = 0.0
    bias: bool = True
    init: str = "gaussian"

    def __post_init__(self) -> None:
        super().__post_init__()
        initializer(self.init)

    @abstractmethod
    def ranks(self) -> tuple[int, int]:
        """Ranks of the parallel and the sequential branch; 0 where the method has no such one."""

    def check_fit(self, layer: nn.Linear) -> None:
        """Check ranks and biases against one layer."""
        from hydra_peft.adapters.low_rank import check_ranks

        check_ranks(layer, *self.ranks())
        if self.bias and layer.bias is None:
            raise UserError(
                "it has no bias, so branch biases could not be merged into it: "
                "set bias=false for this method."
            )

    def adapters(self, layers: Mapping[str, nn.Linear]) -> dict[str, Adapter]:
        """Return a :class:`LowRankLinear` around each layer."""
        from hydra_peft.adapters.low_rank import LowRankLinear

        parallel, sequential = self.ranks()
        return {
            name: LowRankLinear(
                layer,
                rank_parallel=parallel,
                rank_sequential=sequential,
                scale=self.scale,
                dropout=self.dropout,
                bias=self.bias,
                init=self.init,
            )
            for name, layer in layers.items()
        }

    @property
    def label(self) -> str:
        """Name and ranks, such as ``lora r=4`` or ``hydra r=2+2``."""
        return f"{self.name} r={'+'.join(str(rank) for rank in self.ranks() if rank)}"

    def identity(self) -> dict[str, Any]:
        """Options with both ranks spelt out, whichever of the rank keys set them."""
        options = super().identity()
        options.pop("rank", None)
        options["rank_parallel"], options["rank_sequential"] = self.ranks()
        return options

    @classmethod
    def options_of(cls, identity: Mapping[str, Any]) -> dict[str, Any]:
        """Both ranks, or the one that there is as ``rank``."""
        options = super().options_of(identity)
        ranks = [options[key] for key in ("rank_parallel", "rank_sequential") if options.get(key)]
        known = {option.name for option in fields(cls)}
        if ranks and "rank_parallel" not in known:
            options["rank"] = ranks[0]
        return {key: value for key, value in options.items() if key in known}
