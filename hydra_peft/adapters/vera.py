"""VeRA's layer: random factors that are frozen and shared, and two trained vectors of scales."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from hydra_peft.adapters.linear_adapter import LinearAdapter, cast


class VeraLinear(LinearAdapter):
    r"""A frozen linear layer with a random low-rank update whose factors are scaled.

    .. math:: h = W_0 x + b_0 + \Lambda_b B \Lambda_d A x

    A and B are random, frozen, and the same for all layers; a layer trains the vectors d,
    ``[rank]``, 0.1 or so at the start, and b, ``[out]``, zero at the start (Kopiczko et al., arXiv
    2310.11454, eq. 2). A layer takes the first columns of A and the first rows of B, as many as it
    is wide, as the peft library does.

    Args:
        base: the layer to adapt; kept as ``self.base`` and frozen.
        down: A, ``[rank, in or more]``, frozen.
        up: B, ``[out or more, rank]``, frozen.
        start: value of d at the start.
        dropout: dropout probability on the update's input.

    Shapes: ``[..., in_features]`` to ``[..., out_features]``.
    """

    def __init__(
        self,
        base: nn.Linear,
        down: nn.Parameter,
        up: nn.Parameter,
        *,
        start: float = 0.1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down, self.up = down, up
        self.down_scale = nn.Parameter(torch.full_like(base.weight[:1, 0].expand(len(down)), start))
        self.up_scale = nn.Parameter(torch.zeros_like(base.weight[:, 0]))
        self.dropout = nn.Dropout(dropout)
        self.train(base.training)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[..., in_features]`` to ``[..., out_features]``."""
        out: Tensor = self.base(x)
        down, up = self._factors()
        code = self.down_scale * functional.linear(self.dropout(x), down)
        return out + self.up_scale * functional.linear(code, up)

    def folded(self, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        """Return the weight with its update, and the frozen bias."""
        down, up = (cast(factor, dtype) for factor in self._factors())
        down = cast(self.down_scale, dtype)[:, None] * down
        up = cast(self.up_scale, dtype)[:, None] * up
        return torch.addmm(cast(self.base.weight, dtype), up, down), cast(self.base.bias, dtype)

    def drops(self) -> bool:
        """Whether dropout on the update's input acts in the current mode."""
        return self.training and self.dropout.p > 0

    def _factors(self) -> tuple[Tensor, Tensor]:
        return self.down[:, : self.in_features], self.up[: self.out_features]

    def extra_repr(self) -> str:
        """One line for ``print(model)``."""
        return f"rank={len(self.down)}"


def shared_factors(rank: int, layers: list[nn.Linear]) -> tuple[nn.Parameter, nn.Parameter]:
    """Draw A ``[rank, widest in]`` and B ``[widest out, rank]`` for all of ``layers``, frozen.

    Kaiming uniform with a = 0, as the paper has it (arXiv 2310.11454, section 3.2) and peft.
    """
    like = layers[0].weight
    down = like.new_empty(rank, max(layer.in_features for layer in layers))
    up = like.new_empty(max(layer.out_features for layer in layers), rank)
    for factor in (down, up):
        bound = math.sqrt(6 / factor.shape[1])
        nn.init.uniform_(factor, -bound, bound)
    return nn.Parameter(down, requires_grad=False), nn.Parameter(up, requires_grad=False)
