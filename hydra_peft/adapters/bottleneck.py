"""The non-linear bottleneck branch of adapters: down-projection, activation, up-projection."""

from __future__ import annotations

import torch
from timm.layers.drop import DropPath
from torch import Tensor, nn

from hydra_peft.adapters.activations import activation
from hydra_peft.adapters.initializers import initializer


class Bottleneck(nn.Module):
    r"""The branch :math:`A(x) = s\,(W_{up}\,\sigma(W_{down}\,N(x) + b_{down}) + b_{up})`.

    Houlsby et al., arXiv 1902.00751, with what later adapters added: dropout on the activated
    features, a LayerNorm N of the branch's own (eric-ai-lab/PEViT), a trained scale and drop path
    (Steitz and Roth, arXiv 2406.06820). What it is added to is said by where it stands, see
    :mod:`hydra_peft.adapters.block_adapters`.

    Args:
        width: of the features, ``[..., width]`` in and out.
        rank: width in between.
        activation: name of sigma, see :mod:`hydra_peft.adapters.activations`.
        norm: whether x is normalised by a trained LayerNorm first.
        scale: s, or the value from which it is trained.
        scaling: ``fixed``; ``learned``, one trained number; ``channel``, one for each of ``width``.
        dropout: probability of zeroing an activated feature in training.
        drop_path: probability of leaving the branch out of an example in training.
        init: initialiser of both weights, see :mod:`hydra_peft.adapters.initializers`.
        zero_up: whether the up-projection starts at zero instead, and the branch with it.
        bias: whether both projections have a bias, which starts at zero.
    """

    def __init__(
        self,
        width: int,
        rank: int,
        *,
        activation: str = "gelu",
        norm: bool = False,
        scale: float = 1.0,
        scaling: str = "fixed",
        dropout: float = 0.0,
        drop_path: float = 0.0,
        init: str = "houlsby",
        zero_up: bool = False,
        bias: bool = True,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, device=device, dtype=dtype) if norm else nn.Identity()
        self.down = nn.Linear(width, rank, bias=bias, device=device, dtype=dtype)
        self.activation = activation
        self.dropout = nn.Dropout(dropout)
        self.up = nn.Linear(rank, width, bias=bias, device=device, dtype=dtype)
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()
        self.scale: float | nn.Parameter = float(scale)
        if scaling != "fixed":
            count = width if scaling == "channel" else 1
            self.scale = nn.Parameter(torch.full((count,), scale, device=device, dtype=dtype))
        self._start(init, zero_up)

    def _start(self, init: str, zero_up: bool) -> None:
        initializer(init)(self.down.weight)
        if zero_up:
            nn.init.zeros_(self.up.weight)
        else:
            initializer(init)(self.up.weight)
        for layer in (self.down, self.up):
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[..., width]`` to ``[..., width]``, the same shape."""
        features = activation(self.activation)(self.down(self.norm(x)))
        out: Tensor = self.drop_path(self.up(self.dropout(features)))
        return out if isinstance(self.scale, float) and self.scale == 1.0 else self.scale * out
