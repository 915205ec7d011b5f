"""VeRA: vectors beside random factors that all layers share (Kopiczko et al., arXiv 2310.11454)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hydra_peft.limits import Rank, Scale, Share
from hydra_peft.methods._linear import LinearMethod

if TYPE_CHECKING:
    from torch import nn

    from hydra_peft.adapters.base import Adapter


@dataclass(frozen=True)
class Vera(LinearMethod):
    r"""VeRA; see :class:`hydra_peft.adapters.vera.VeraLinear` for the formula. Merges exactly.

    A layer has rank + out parameters. The shared factors are drawn from the run's seed and saved
    with the adapter, once, as peft does by default: what a seed gives differs between versions of
    torch and between devices.

    Attributes:
        targets: name patterns of the layers to adapt.
        rank: rank of the shared factors; it may exceed the layers' widths.
        start: value of the vector d at the start.
        dropout: dropout probability on what the update reads.
    """

    name: ClassVar[str] = "vera"
    rank: Rank = 256
    start: Scale = 0.1
    dropout: Share = 0.0

    def adapters(self, layers: Mapping[str, nn.Linear]) -> dict[str, Adapter]:
        """Return a :class:`~hydra_peft.adapters.vera.VeraLinear` around each layer."""
        from hydra_peft.adapters.vera import VeraLinear, shared_factors

        down, up = shared_factors(self.rank, list(layers.values()))
        options = {"start": self.start, "dropout": self.dropout}
        return {name: VeraLinear(layer, down, up, **options) for name, layer in layers.items()}

    @property
    def label(self) -> str:
        """Name and rank, such as ``vera r=256``."""
        return f"{self.name} r={self.rank}"


METHOD = Vera
