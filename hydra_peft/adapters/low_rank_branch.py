"""One low-rank branch: down-projection, dropout, up-projection."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hydra_peft.adapters.initializers import initializer
from hydra_peft.adapters.linear_adapter import cast

#: down, shift, up and offset of ``up (down x + shift) + offset``; None for a bias that is absent
Factors = tuple[Tensor, Tensor | None, Tensor, Tensor | None]


def joined(shifts: Sequence[Tensor | None]) -> Tensor | None:
    """Return ``shifts`` one behind the other; None where there are none."""
    there = [shift for shift in shifts if shift is not None]
    return torch.cat(there) if there else None


class LowRankBranch(nn.Module):
    """Down-projection to ``rank`` features, dropout on them, up-projection; no non-linearity.

    Args:
        in_features: width of the input, shape ``[..., in_features]``.
        out_features: width of the output, shape ``[..., out_features]``.
        rank: width in between, at least 1.
        dropout: dropout probability in training.
        dropout_at: what it acts on: ``rank``, the features in between, or ``input``.
        bias: whether both projections have a bias (starting at zero).
        init: name of the down-projection's initialiser.
        zero_up: whether the up-projection starts at zero, or is drawn likewise.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        rank: int,
        *,
        dropout: float = 0.0,
        dropout_at: str = "rank",
        bias: bool = True,
        init: str = "gaussian",
        zero_up: bool = True,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.down = nn.Linear(in_features, rank, bias=bias, device=device, dtype=dtype)
        self.up = nn.Linear(rank, out_features, bias=bias, device=device, dtype=dtype)
        self.dropout = nn.Dropout(dropout)
        self.dropout_at = dropout_at
        self.init, self.zero_up = init, zero_up
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the down-projection anew, and the up-projection unless it starts at zero; set both
        biases to zero."""
        initializer(self.init)(self.down.weight)
        (nn.init.zeros_ if self.zero_up else initializer(self.init))(self.up.weight)
        for layer in (self.down, self.up):
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[..., in_features]`` of any dtype to ``[..., out_features]`` of the branch's."""
        x = x.to(self.down.weight.dtype)
        if self.dropout_at == "input":
            return self.up(self.down(self.dropout(x)))
        return self.up(self.dropout(self.down(x)))

    def factors(self, dtype: torch.dtype) -> Factors:
        """Return down, shift, up and offset of ``up (down x + shift) + offset``."""
        down, up = self.down, self.up
        return (
            cast(down.weight, dtype),
            cast(down.bias, dtype),
            cast(up.weight, dtype),
            cast(up.bias, dtype),
        )

    def drops(self) -> bool:
        """Whether dropout acts in the current mode."""
        return self.training and self.dropout.p > 0

    def mask(self, like: Tensor) -> Tensor:
        """Draw the dropout mask for the features of one call: entries 0 or 1 / (1 - p).

        Args:
            like: input of that call, ``[..., in_features]``; the mask has its dtype and device.
        """
        return self.dropout(like.new_ones(*like.shape[:-1], self.down.out_features))
