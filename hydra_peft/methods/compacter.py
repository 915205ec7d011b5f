"""Compacter: adapters of Kronecker sums that share a rule (Mahabadi et al., arXiv 2106.04647)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from hydra_peft.errors import UserError
from hydra_peft.limits import Limits, Rank, Words
from hydra_peft.methods._blocks import BlockMethod
from hydra_peft.methods._bottleneck import Position

if TYPE_CHECKING:
    from torch import Tensor, nn

#: deviation of the trained rule's start, and bound of the frozen one's
RULE_STD, RULE_BOUND = 0.01, 1.0


@dataclass(frozen=True)
class Compacter(BlockMethod):
    r"""``f + A(f)`` behind sublayers with output f, A of two layers :math:`y = xH + b`,
    :math:`H = \sum_{i=1}^n S_i \otimes u_i v_i^T`, and GELU between them.

    S ``[n, n, n]`` is one for all layers and both projections. u, v of each layer start
    glorot-uniform with gain sqrt(2), biases at zero. The defaults are the paper's on T5
    (rabeehk/compacter): two adapters a block, n = 4, S trained from N(0, 0.01^2), a bottleneck of a
    32nd of the width of ViT-B; the layer norms, which it trains too, stay frozen here. 57,088
    parameters on ViT-B/16. ``conf/method/compacter_elevater.yaml`` is the row of ELEVATER
    (eric-ai-lab/PEViT, ``compacter_model.py``), where a filter of names leaves S, drawn from
    U(-1, 1), untrained: 48,384 parameters, and no identity at the start.

    Attributes:
        targets: name patterns of the MLPs whose blocks are adapted.
        position: where in the block, see :mod:`hydra_peft.adapters.block_adapters`.
        rank: width of the bottleneck.
        phm_dim: n, which divides the rank and the width.
        rule: whether S is ``trained`` or ``frozen``, which also says how it starts.
        norm: whether a branch normalises its input by a LayerNorm of its own.
        bias: whether both projections have biases.
    """

    name: ClassVar[str] = "compacter"
    position: Position = "houlsby"
    rank: Rank = 24
    phm_dim: Annotated[int, Limits(least=1, most=64)] = 4
    rule: Annotated[str, Words("trained", "frozen")] = "trained"
    norm: bool = False
    bias: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rank % self.phm_dim:
            raise UserError(
                f"rank={self.rank} of method 'compacter' is no multiple of phm_dim={self.phm_dim}, "
                "the number of Kronecker products, which divides both sides of each layer."
            )

    def apply(self, model: nn.Module, head: tuple[str, ...]) -> list[str]:
        """Put adapters into the block of every MLP that ``targets`` names."""
        from hydra_peft.adapters.block_adapters import adapt_blocks
        from hydra_peft.adapters.block_places import find_blocks
        from hydra_peft.adapters.phm import PhmBottleneck

        blocks = find_blocks(model, self.targets, exclude=head)
        for places in blocks:
            if places.width % self.phm_dim:
                raise UserError(
                    f"{places.block}: its width {places.width} is no multiple of "
                    f"method.phm_dim={self.phm_dim}, the number of Kronecker products: choose a "
                    "phm_dim that divides both."
                )
        rule = self._draw_rule(blocks[0].weight)

        def branch(like: Tensor) -> PhmBottleneck:
            return PhmBottleneck(len(like), self.rank, rule, norm=self.norm, bias=self.bias)

        return adapt_blocks(model, self.targets, head, self.position, branch)

    def _draw_rule(self, like: Tensor) -> nn.Parameter:
        from torch import nn

        values = like.detach().new_empty(self.phm_dim, self.phm_dim, self.phm_dim)
        if self.rule == "trained":
            return nn.Parameter(values.normal_(std=RULE_STD))
        return nn.Parameter(values.uniform_(-RULE_BOUND, RULE_BOUND), requires_grad=False)

    @property
    def label(self) -> str:
        """Name and width, such as ``compacter r=24``."""
        return f"{self.name} r={self.rank}"

    def identity(self) -> dict[str, Any]:
        """Options; ``pfeiffer`` computes what ``post`` does, so it is that."""
        position = "post" if self.position == "pfeiffer" else self.position
        return {**super().identity(), "position": position}


METHOD = Compacter
