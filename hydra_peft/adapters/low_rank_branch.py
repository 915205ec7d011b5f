"""One low-rank branch: down-projection, dropout, up-projection."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hydra_peft.adapters.initializers import initializer


class LowRankBranch(nn.Module):
    """Down-projection to ``rank`` features, dropout on them, up-projection; no non-linearity.

    Args:
        in_features: width of the input, shape ``[..., in_features]``.
        out_features: width of the output, shape ``[..., out_features]``.
        rank: width in between, at least 1.
        dropout: probability of zeroing one of the ``rank`` features in training.
        bias: whether both projections have a bias (starting at zero).
        init: name of the down-projection's initialiser; the up-projection starts at zero.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        rank: int,
        *,
        dropout: float = 0.0,
        bias: bool = True,
        init: str = "gaussian",
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.down = nn.Linear(in_features, rank, bias=bias, device=device, dtype=dtype)
        self.up = nn.Linear(rank, out_features, bias=bias, device=device, dtype=dtype)
        self.dropout = nn.Dropout(dropout)
        self.init = init
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the down-projection anew; set the up-projection and both biases to zero."""
        initializer(self.init)(self.down.weight)
        nn.init.zeros_(self.up.weight)
        for layer in (self.down, self.up):
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[..., in_features]`` to ``[..., out_features]``."""
        return self.up(self.dropout(self.down(x)))

    def mask(self, like: Tensor) -> Tensor:
        """Draw the dropout mask for the features of one call: entries 0 or 1 / (1 - p).

        Args:
            like: input of that call, ``[..., in_features]``; the mask has its dtype and device.
        """
        return self.dropout(like.new_ones(*like.shape[:-1], self.down.out_features))
