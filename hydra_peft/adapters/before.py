"""A grouped low-rank adapter before a frozen linear layer (RepAdapter)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hydra_peft.adapters.linear_adapter import LinearAdapter, cast
from hydra_peft.adapters.targets import check_bias, check_layer
from hydra_peft.errors import UserError


class GroupedBefore(LinearAdapter):
    r"""``h = W (x + s (B drop(A x + a) + b)) + c``, B block-diagonal in ``groups`` blocks.

    Args:
        base: the linear layer that reads the adapted features; kept as ``self.base`` and frozen.
        rank: rows of A, the bottleneck.
        groups: blocks of B; block g maps the g-th part of the bottleneck to that of the features.
        scale: factor s.
        dropout: dropout probability on the bottleneck.
        bias: whether there are a and b.

    Shapes: ``[..., in]`` to ``[..., out]``; ``down.weight`` is ``[rank, in]``, ``up``
    ``[groups, in / groups, rank / groups]``, ``shift`` ``[in]``.

    Raises:
        UserError: ``base`` is no plain linear layer, or its input width or the rank is not
            divisible by ``groups``, or biases are to go before a layer without one.
    """

    def __init__(
        self,
        base: nn.Linear,
        *,
        rank: int,
        groups: int = 2,
        scale: float = 1.0,
        dropout: float = 0.0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        check_grouped(base, rank, groups, bias=bias)
        width, like = base.in_features, base.weight
        self.base = base.requires_grad_(False)
        self.down = nn.Linear(width, rank, bias=bias, device=like.device, dtype=like.dtype)
        self.up = nn.Parameter(like.new_zeros(groups, width // groups, rank // groups))
        self.shift = nn.Parameter(like.new_zeros(width)) if bias else None
        self.dropout, self.scale, self.groups = nn.Dropout(dropout), scale, groups
        nn.init.xavier_uniform_(self.down.weight)
        if self.down.bias is not None:
            nn.init.zeros_(self.down.bias)
        self.train(base.training)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[..., in_features]`` to ``[..., out_features]``."""
        features = self.dropout(self.down(x)).unflatten(-1, (self.groups, -1))
        change = torch.einsum("...gr,gor->...go", features, self.up.to(features.dtype)).flatten(-2)
        if self.shift is not None:
            change = change + self.shift
        return self.base((x + self.scale * change).to(x.dtype))

    def update(self, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        """Return ``s B A`` as ``[in, in]`` and ``s (B a + b)`` as ``[in]``, None without biases."""
        up = torch.block_diag(*self.up.to(dtype))
        change = self.scale * up @ self.down.weight.to(dtype)
        if self.shift is None or self.down.bias is None:
            return change, None
        return change, self.scale * (up @ self.down.bias.to(dtype) + self.shift.to(dtype))

    def drops(self) -> bool:
        """Whether dropout on the bottleneck acts in the current mode."""
        return self.training and self.dropout.p > 0

    def folded(self, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        """Return ``W' = W (I + s B A)`` and ``c' = c + s W (B a + b)``."""
        weight, bias = cast(self.base.weight, dtype), cast(self.base.bias, dtype)
        change, offset = self.update(dtype)
        moved = None if offset is None else F.linear(offset, weight)
        parts = [part for part in (bias, moved) if part is not None]
        return weight + weight @ change, sum(parts[1:], parts[0]) if parts else None


def check_grouped(layer: nn.Linear, rank: int, groups: int, *, bias: bool) -> None:
    """Check that ``layer`` can be adapted with this rank in so many groups.

    Raises:
        UserError: it is no plain linear layer, widths are not divisible, or there are biases
            before a layer without one.
    """
    check_layer(layer)
    if bias:
        check_bias(layer, "the adapter's biases")
    if rank > layer.in_features:
        raise UserError(
            f"rank {rank} does not fit a linear layer that reads {layer.in_features} features: it "
            f"must lie between 1 and {layer.in_features}."
        )
    read = ("the number of features that it reads,", layer.in_features)
    for what, width in (("rank", rank), read):
        if width % groups:
            raise UserError(
                f"{what} {width} is not divisible by groups={groups}: choose groups that divide "
                "both."
            )
