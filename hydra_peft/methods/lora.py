"""LoRA: the parallel branch alone (paper eq. 2; Hu et al., arXiv 2106.09685)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from hydra_peft.adapters.initializers import INITIALIZERS, PISSA
from hydra_peft.errors import UserError
from hydra_peft.limits import Rank, Words
from hydra_peft.methods._low_rank import LowRankMethod
from hydra_peft.methods._packed import check_parts, in_order

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Lora(LowRankMethod):
    """LoRA; rank 4 with branch biases is the paper's Table 8 row (276,576 on ViT-B/16).

    Published variants are options: NOAH's (``targets: [attn.qkv], rank: 8, bias: false``, 294,912),
    the language models' queries and values (``parts: [q, v]`` of a packed layer, or
    ``targets: [query, value]``), peft's (``dropout_at: input, rank_scale: alpha_over_r``), rsLoRA's
    (``rank_scale: alpha_over_sqrt_r``) and PiSSA's (``init: pissa``).

    Attributes:
        parts: of layers that compute queries, keys and values together those that are adapted, each
            with projections of its own, of rank ``rank``: some of ``q``, ``k``, ``v``; empty for
            whole layers.
        init: one of the others', or ``pissa``: the branch trains the principal part of the weight,
            see :class:`~hydra_peft.adapters.principal_branch.PrincipalBranch`.
    """

    name: ClassVar[str] = "lora"
    added: ClassVar[tuple[str, ...]] = (*LowRankMethod.added, "parts")
    init: Annotated[str, Words(*INITIALIZERS, PISSA)] = "gaussian"
    rank: Rank = 4
    parts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_parts(self.parts)
        if self.init == PISSA and self.scale <= 0:
            raise UserError(
                f"scale={self.scale} is not allowed with init=pissa, which takes the root of what "
                "it divides by scale: set a positive one."
            )

    def ranks(self) -> tuple[int, int]:
        """``(rank, 0)``."""
        return self.rank, 0

    def apply(self, model: nn.Module, head: tuple[str, ...]) -> list[str]:
        """Put a branch beside every target, or beside the ``parts`` of it."""
        if self.parts:
            from hydra_peft.adapters.packed_qkv import check_all_packed

            check_all_packed(model, self.targets, head)
        return super().apply(model, head)

    def check_fit(self, layer: nn.Linear) -> None:
        """Check ranks, biases and, where it is decomposed, the weight of one layer."""
        super().check_fit(layer)
        weight = layer.weight
        if self.init == PISSA and not weight.is_meta and not bool(weight.isfinite().all()):
            raise UserError(
                "its weight holds values that are not finite, which init=pissa cannot decompose: "
                "load sound weights first."
            )

    def branch_options(self) -> dict[str, Any]:
        """Those of every low-rank method, and the parts."""
        return {**super().branch_options(), "parts": in_order(self.parts)}

    def identity(self) -> dict[str, Any]:
        """Options; parts in the order of their rows; the start of branches as it acts."""
        options = super().identity()
        if self.parts:
            options["parts"] = in_order(self.parts)
        if self.init == PISSA:  # it sets both projections
            options.pop("zero_up", None)
        return options


METHOD = Lora
