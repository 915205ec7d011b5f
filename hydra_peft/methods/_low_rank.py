"""Shared part of LoRA, SeqLoRA and Hydra: low-rank branches on chosen linear layers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from hydra_peft.adapters.initializers import Init
from hydra_peft.errors import UserError
from hydra_peft.limits import Scale, Share, Words
from hydra_peft.methods._linear import LinearMethod

if TYPE_CHECKING:
    from torch import nn

    from hydra_peft.adapters.base import Adapter

#: what ``scale`` is divided by, as a power of the rank
RANK_SCALES = {"none": 0.0, "alpha_over_r": 1.0, "alpha_over_sqrt_r": 0.5}


@dataclass(frozen=True)
class LowRankMethod(LinearMethod):
    """Options of every low-rank method; see :class:`hydra_peft.adapters.low_rank.LowRankLinear`.

    Attributes:
        targets: name patterns of the layers to adapt.
        scale: factor of the branches.
        dropout: dropout probability in the branches.
        bias: whether the branches have biases.
        init: initialiser of the down-projections.
        dropout_at: what dropout acts on: ``rank``, the rank-r features (the paper's code), or
            ``input``, what the down-projections read (microsoft/LoRA, peft).
        zero_up: whether the up-projections start at zero; false draws them like the
            down-projections, as NOAH's code does with truncated normals.
        rank_scale: what ``scale`` is divided by: ``none``, nothing (the paper's code);
            ``alpha_over_r``, the rank (LoRA: ``scale`` is alpha then); ``alpha_over_sqrt_r``, its
            root (rsLoRA, Kalajdzievski, arXiv 2312.03732).
    """

    added: ClassVar[tuple[str, ...]] = ("dropout_at", "zero_up", "rank_scale")

    scale: Scale = 1.0
    dropout: Share = 0.0
    bias: bool = True
    init: Init = "gaussian"
    dropout_at: Annotated[str, Words("rank", "input")] = "rank"
    zero_up: bool = True
    rank_scale: Annotated[str, Words(*RANK_SCALES)] = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        ranks = sorted({rank for rank in self.ranks() if rank})
        if self.rank_scale != "none" and len(ranks) > 1:
            raise UserError(
                f"rank_scale={self.rank_scale} divides by one rank, and the branches have "
                f"{' and '.join(map(str, ranks))}: set rank_scale=none, and scale as it is to be."
            )

    @abstractmethod
    def ranks(self) -> tuple[int, int]:
        """Ranks of the parallel and the sequential branch; 0 where the method has no such one."""

    def check_fit(self, layer: nn.Linear) -> None:
        """Check ranks and biases against one layer."""
        from hydra_peft.adapters.low_rank import check_ranks
        from hydra_peft.adapters.targets import check_bias

        options = self.branch_options()
        check_ranks(layer, *self.ranks(), options.get("parts", ()))
        if self.bias:
            check_bias(layer, "branch biases")

    def branch_options(self) -> dict[str, Any]:
        """Return what every adapted layer is built with."""
        parallel, sequential = self.ranks()
        return {
            "rank_parallel": parallel,
            "rank_sequential": sequential,
            "scale": self.scale / max(parallel, sequential) ** RANK_SCALES[self.rank_scale],
            "dropout": self.dropout,
            "bias": self.bias,
            "init": self.init,
            "dropout_at": self.dropout_at,
            "zero_up": self.zero_up,
        }

    def adapters(self, layers: Mapping[str, nn.Linear]) -> dict[str, Adapter]:
        """Return a :class:`LowRankLinear` around each layer."""
        from hydra_peft.adapters.low_rank import LowRankLinear

        options = self.branch_options()
        return {name: LowRankLinear(layer, **options) for name, layer in layers.items()}

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
