"""Seeded random tensors on the CPU."""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Draws:
    """A source of float32 and int64 random tensors with one seed."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Return float32 draws from [low, high) of the given shape."""
        return low + (high - low) * torch.rand(shape, generator=self._generator)

    def normal(self, *shape: int) -> Tensor:
        """Return float32 standard normal draws of the given shape."""
        return torch.randn(shape, generator=self._generator)

    def integers(self, limit: int, *shape: int) -> Tensor:
        """Return int64 draws from 0 to limit - 1 of the given shape."""
        return torch.randint(0, limit, shape, generator=self._generator)

    def angles(self, *shape: int) -> Tensor:
        """Return float32 angles from 0 to a full turn of the given shape."""
        return self.uniform(0.0, 2.0 * math.pi, *shape)
