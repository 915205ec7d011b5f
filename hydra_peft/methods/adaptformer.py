"""AdaptFormer: a scaled bottleneck beside each MLP (Chen et al., arXiv 2205.13535)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hydra_peft.limits import Rank, Scale, Share
from hydra_peft.methods._blocks import BlockMethod
from hydra_peft.methods._bottleneck import BottleneckMethod

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class AdaptFormer(BlockMethod):
    """``z = y + m + s * (W_up Drop(ReLU(W_down y + b_down)) + b_up)`` with ``m = mlp(norm2(y))``.

    With y, z of ``[..., width]``. W_down starts kaiming-uniform, all else at zero; the branch
    stands outside layer scale and drop path. The paper's figure feeds ``norm(y)``; its code
    (ShoufaChen/AdaptFormer, ``main_image.py``) runs with y as it is, and so does this by default.
    Rank 8 is the row of VTAB-1k (156,768 parameters on ViT-B/16); the paper's own rank is 64.

    Attributes:
        targets: name patterns of the MLPs.
        rank: width of the bottleneck.
        scale: factor s.
        dropout: dropout probability on the activated features.
        norm: whether the branch normalises y by a LayerNorm of its own (their option ``in``).
    """

    name: ClassVar[str] = "adaptformer"
    rank: Rank = 8
    scale: Scale = 0.1
    dropout: Share = 0.1
    norm: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._branches()

    def _branches(self) -> BottleneckMethod:
        return BottleneckMethod(
            targets=self.targets,
            position="parallel",
            rank=self.rank,
            activation="relu",
            norm=self.norm,
            scale=self.scale,
            dropout=self.dropout,
            init="kaiming",
            zero_up=True,
        )

    def apply(self, model: nn.Module, head: tuple[str, ...]) -> list[str]:
        """Put a branch beside every MLP that ``targets`` names."""
        return self._branches().apply(model, head)

    @property
    def label(self) -> str:
        """Name and width, such as ``adaptformer r=8``."""
        return f"{self.name} r={self.rank}"


METHOD = AdaptFormer
