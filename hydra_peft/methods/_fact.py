"""Shared part of FacT's two forms (Jie and Deng, arXiv 2212.03145)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hydra_peft.errors import UserError
from hydra_peft.limits import Rank, Scale, Share
from hydra_peft.methods._linear import LinearMethod

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hydra_peft.adapters.base import Adapter

#: the layers whose weights FacT stacks, by their timm names
BLOCK_TARGETS = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")


@dataclass(frozen=True)
class FactMethod(LinearMethod):
    """Options of both forms; see :class:`hydra_peft.adapters.fact.FactLinear`. Both merge exactly.

    The weights of all layers are taken as slices of one width d: three of a packed qkv, one of
    attn.proj, four of fc1 and fc2 each on a plain vision transformer.

    Attributes:
        targets: name patterns of the layers to adapt.
        rank: rank of the shared factors.
        scale: factor of the updates; the release has one for each task.
        dropout: dropout probability between core and outer factor.
    """

    targets: list[str] = field(default_factory=lambda: list(BLOCK_TARGETS))
    rank: Rank = 16
    scale: Scale = 1.0
    dropout: Share = 0.1

    def ranks(self) -> tuple[int, ...]:
        """``(rank,)``."""
        return (self.rank,)

    @abstractmethod
    def cores(self, chunks: Mapping[str, tuple[int, int]], like: Tensor) -> dict[str, nn.Module]:
        """Return the core of each layer.

        Args:
            chunks: by a layer's name how many chunks of d features it writes, and reads.
            like: a tensor of the dtype and on the device of the parameters.
        """

    def adapters(self, layers: Mapping[str, nn.Linear]) -> dict[str, Adapter]:
        """Return a :class:`~hydra_peft.adapters.fact.FactLinear` around each layer."""
        from hydra_peft.adapters.fact import FactLinear, shared_factors

        width = min(min(layer.in_features, layer.out_features) for layer in layers.values())
        chunks = {name: self._chunks(name, layer, width) for name, layer in layers.items()}
        if self.rank > width:
            raise UserError(
                f"rank {self.rank} of method '{self.name}' does not fit features of width {width}: "
                f"it must be at most {width}."
            )
        like = next(iter(layers.values())).weight
        inner, outer = shared_factors(self.rank, width, like)
        cores = self.cores(chunks, like)
        options = {"scale": self.scale, "dropout": self.dropout}
        return {
            name: FactLinear(layer, inner, outer, cores[name], **options)
            for name, layer in layers.items()
        }

    def _chunks(self, name: str, layer: nn.Linear, width: int) -> tuple[int, int]:
        written, read = layer.out_features / width, layer.in_features / width
        if min(written, read) != 1 or not (written.is_integer() and read.is_integer()):
            raise UserError(
                f"method '{self.name}' takes weights apart into slices of one width, {width} here, "
                f"and {name} ({layer.in_features}->{layer.out_features}) is not of whole ones on "
                "one side: name layers of one width by targets, or choose another method."
            )
        return int(written), int(read)

    @property
    def label(self) -> str:
        """Name and rank, such as ``fact_tk r=16``."""
        return f"{self.name} r={self.rank}"
