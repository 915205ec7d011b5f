"""RepAdapter: a grouped linear adapter before qkv and fc1 (Luo et al., arXiv 2302.08106)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, ClassVar

from hydra_peft.limits import Limits, Rank, Scale, Share
from hydra_peft.methods._linear import LinearMethod

if TYPE_CHECKING:
    from torch import nn

    from hydra_peft.adapters.base import Adapter


@dataclass(frozen=True)
class RepAdapter(LinearMethod):
    r"""RepAdapter; rank 8 in two groups before qkv and fc1 is the paper's (239,808 on ViT-B/16;
    221,184 without the biases, which published counts leave out).

    .. math:: h = W \bigl(x + s (B (A x + a) + b)\bigr) + c

    B is block-diagonal. As in the release (luogen1996/RepAdapter, ``repadapter.py``) A starts
    Xavier uniform, B and the biases zero, and dropout is on the bottleneck. It merges exactly into
    the layer that follows.

    Attributes:
        targets: name patterns of the layers before which an adapter stands.
        rank: width of the bottleneck.
        groups: blocks of B.
        scale: factor s; the paper's runs choose it out of 0.1, 0.5, 1, 5, 10 by task.
        dropout: dropout probability on the bottleneck.
        bias: whether there are biases.
    """

    name: ClassVar[str] = "repadapter"
    targets: list[str] = field(default_factory=lambda: ["attn.qkv", "mlp.fc1"])
    rank: Rank = 8
    groups: Annotated[int, Limits(least=1, most=2**14)] = 2
    scale: Scale = 1.0
    dropout: Share = 0.1
    bias: bool = True

    def check_fit(self, layer: nn.Linear) -> None:
        """Check rank and groups against one layer."""
        from hydra_peft.adapters.before import check_grouped

        check_grouped(layer, self.rank, self.groups, bias=self.bias)

    def adapters(self, layers: Mapping[str, nn.Linear]) -> dict[str, Adapter]:
        """Return a :class:`~hydra_peft.adapters.before.GroupedBefore` before each layer."""
        from hydra_peft.adapters.before import GroupedBefore

        return {
            name: GroupedBefore(
                layer,
                rank=self.rank,
                groups=self.groups,
                scale=self.scale,
                dropout=self.dropout,
                bias=self.bias,
            )
            for name, layer in layers.items()
        }

    @property
    def label(self) -> str:
        """Name and rank: ``repadapter r=8``."""
        return f"{self.name} r={self.rank}"


METHOD = RepAdapter
