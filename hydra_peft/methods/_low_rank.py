"""Shared part of LoRA, SeqLoRA and Hydra: low-rank branches on chosen linear layers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from hydra_peft.adapters.initializers import initializer
from hydra_peft.errors import UserError
from hydra_peft.limits import Scale, Share
from hydra_peft.methods._base import Method

if TYPE_CHECKING:
    from torch import nn

#: both projections of the paper's VTAB experiments, by their timm names
VTAB_TARGETS = ("attn.proj", "mlp.fc2")


@dataclass(frozen=True)
class LowRankMethod(Method):
    """Options of every low-rank method; see :class:`hydra_peft.adapters.low_rank.LowRankLinear`.

    Attributes:
        targets: name patterns of the layers to adapt.
        scale: factor of the branches.
        dropout: dropout probability on the rank-r features.
        bias: whether the branches have biases.
        init: initialiser of the down-projections.
    """

    targets: list[str] = field(default_factory=lambda: list(VTAB_TARGETS))
    scale: Scale = 1.0
    dropout: Share = 0.0
    bias: bool = True
    init: str = "gaussian"

    def __post_init__(self) -> None:
        super().__post_init__()
        initializer(self.init)
        if not self.targets or not all(isinstance(t, str) and t for t in self.targets):
            raise UserError(
                f"targets={self.targets} is not a list of name patterns, such as "
                "[attn.proj, mlp.fc2]."
            )

    @abstractmethod
    def ranks(self) -> tuple[int, int]:
        """Ranks of the parallel and the sequential branch; 0 where the method has no such one."""

    def apply(self, model: nn.Module, head: tuple[str, ...]) -> list[str]:
        """Put a :class:`LowRankLinear` in the place of every target."""
        from hydra_peft.adapters.low_rank import LowRankLinear, check_ranks
        from hydra_peft.adapters.surgery import replace_module
        from hydra_peft.adapters.targets import check_layer, find_linear_layers

        layers = find_linear_layers(model, self.targets, exclude=head)
        rank_parallel, rank_sequential = self.ranks()
        # Every layer is checked before the first is changed, so that a refusal changes nothing.
        for name, layer in layers.items():
            try:
                check_layer(layer)
                check_ranks(layer, rank_parallel, rank_sequential)
            except UserError as error:
                raise UserError(f"{name}: {error}") from None
            if self.bias and layer.bias is None:
                raise UserError(
                    f"{name} has no bias, so branch biases could not be merged into it: "
                    "set bias=false for this method."
                )
        for layer in layers.values():
            adapter = LowRankLinear(
                layer,
                rank_parallel=rank_parallel,
                rank_sequential=rank_sequential,
                scale=self.scale,
                dropout=self.dropout,
                bias=self.bias,
                init=self.init,
            )
            replace_module(model, layer, adapter)
        return list(layers)

    @property
    def label(self) -> str:
        """Name and ranks, such as ``lora r=4`` or ``hydra r=2+2``."""
        return f"{self.name} r={'+'.join(str(rank) for rank in self.ranks() if rank)}"

    def identity(self) -> dict[str, Any]:
        """Options with both ranks spelt out, whichever of the rank keys set them."""
        options = super().identity()
        options.pop("rank", None)
        options["rank_parallel"], options["rank_sequential"] = self.ranks()
        options["targets"] = sorted(set(self.targets))
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
