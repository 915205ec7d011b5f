"""The adapter of method gain."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hydra_peft.adapters.linear_adapter import LinearAdapter, cast


class GainLinear(LinearAdapter):
    """``h = gain * (W0 x + b0) + shift``; shapes ``[..., in]`` to ``[..., out]``."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base
        self.gain = nn.Parameter(base.weight.new_ones(base.out_features))
        self.shift = nn.Parameter(base.weight.new_zeros(base.out_features))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[..., in_features]`` to ``[..., out_features]``."""
        out: Tensor = self.base(x)
        return (out * self.gain + self.shift).to(out.dtype)

    def folded(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return the weight and the bias of the one linear layer that computes the same."""
        gain, shift = cast(self.gain, dtype), cast(self.shift, dtype)
        weight = cast(self.base.weight, dtype) * gain[:, None]
        if self.base.bias is None:
            return weight, shift
        return weight, gain * cast(self.base.bias, dtype) + shift
