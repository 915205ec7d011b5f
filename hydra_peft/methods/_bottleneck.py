"""Shared part of the methods that put non-linear bottleneck adapters into transformer blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from hydra_peft.adapters.activations import ACTIVATIONS
from hydra_peft.adapters.initializers import Init
from hydra_peft.limits import Rank, Scale, Share, Words
from hydra_peft.methods._blocks import BlockMethod

if TYPE_CHECKING:
    from torch import Tensor, nn

#: where adapters stand in a block, see :mod:`hydra_peft.adapters.block_adapters`
POSITIONS = ("intermediate", "houlsby", "post", "pfeiffer", "pre", "parallel")
Position = Annotated[str, Words(*POSITIONS)]
Activation = Annotated[str, Words(*ACTIVATIONS)]
Scaling = Annotated[str, Words("fixed", "learned", "channel")]


@dataclass(frozen=True)
class BottleneckMethod(BlockMethod):
    """Options of adapters of the form ``s (W_up sigma(W_down N(x) + b_down) + b_up)``; see
    :class:`hydra_peft.adapters.bottleneck.Bottleneck`.

    Attributes:
        targets: name patterns of the MLPs whose blocks are adapted.
        position: where in the block, see :mod:`hydra_peft.adapters.block_adapters`.
        rank: width of the bottleneck.
        activation: ``relu``, ``gelu``, ``gelu_tanh``, ``quick_gelu`` or ``swish``.
        norm: whether the branch normalises its input by a LayerNorm of its own.
        scale: factor of the branch, or the value from which it is trained.
        scaling: ``fixed``, ``learned`` (one number a branch) or ``channel`` (one a feature).
        dropout: dropout probability on the activated features.
        drop_path: probability of leaving a branch out of an example in training.
        init: initialiser of both weights.
        zero_up: whether the up-projections start at zero instead.
        bias: whether both projections have biases.
    """

    position: Position = "intermediate"
    rank: Rank = 8
    activation: Activation = "gelu"
    norm: bool = False
    scale: Scale = 1.0
    scaling: Scaling = "fixed"
    dropout: Share = 0.0
    drop_path: Share = 0.0
    init: Init = "houlsby"
    zero_up: bool = False
    bias: bool = True

    def apply(self, model: nn.Module, head: tuple[str, ...]) -> list[str]:
        """Put adapters into the block of every MLP that ``targets`` names."""
        from hydra_peft.adapters.block_adapters import adapt_blocks
        from hydra_peft.adapters.bottleneck import Bottleneck

        options = {
            name: getattr(self, name)
            for name in ("activation", "norm", "scale", "scaling", "dropout", "drop_path")
        }
        options |= {"init": self.init, "zero_up": self.zero_up, "bias": self.bias}

        def branch(like: Tensor) -> Bottleneck:
            return Bottleneck(len(like), self.rank, device=like.device, dtype=like.dtype, **options)

        return adapt_blocks(model, self.targets, head, self.position, branch)

    @property
    def label(self) -> str:
        """Name and width, such as ``adapter r=8``."""
        return f"{self.name} r={self.rank}"

    def identity(self) -> dict[str, Any]:
        """Options; ``pfeiffer`` computes what ``post`` does, so it is that."""
        options = super().identity()
        if self.position == "pfeiffer":
            options["position"] = "post"
        return options
