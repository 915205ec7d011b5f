"""Gain: a learned factor and shift for each output of frozen linear layers, merged exactly.

    h = g * (W0 x + b0) + t

with g = 1 and t = 0 at the start, so that training starts at the frozen backbone. It is what SSF
(arXiv 2210.08823) does behind a linear layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from hydra_peft.methods._linear import LinearMethod

if TYPE_CHECKING:
    from torch import nn

    from hydra_peft.adapters.base import Adapter


@dataclass(frozen=True)
class Gain(LinearMethod):
    """Two numbers for each output of the layers that ``targets`` name."""

    name: ClassVar[str] = "gain"
    targets: list[str] = field(default_factory=lambda: ["mlp.fc2"])

    def adapters(self, layers: Mapping[str, nn.Linear]) -> dict[str, Adapter]:
        """Return an adapter around each layer."""
        from peft_gain._layer import GainLinear  # torch is loaded here, not with the options

        return {name: GainLinear(layer) for name, layer in layers.items()}


METHOD = Gain
