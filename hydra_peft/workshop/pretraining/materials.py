"""Seeded draws, and background materials: wave patterns in one of several colour families.

As with wood or grass, colour belongs to a material as much as its pattern does, so both are labels
of the source task.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

PATTERNS = 16
FAMILIES = 8
"""Seven hues and grey."""


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


def family_colours(draws: Draws, family: Tensor) -> Tensor:
    """Return a random RGB colour (0 to 1) per entry of `family` (int64), with a last axis of 3."""
    shape = tuple(family.shape)
    hues = FAMILIES - 1
    hue = (family + draws.uniform(-0.35, 0.35, *shape)) / hues
    saturation = draws.uniform(0.45, 1.0, *shape)
    saturation = torch.where(family == hues, 0.1 * saturation, saturation)
    value = draws.uniform(0.25, 1.0, *shape)
    offsets = torch.tensor([0.0, 2.0 / 3.0, 1.0 / 3.0])
    wheel = (((hue[..., None] + offsets) % 1.0) * 6.0 - 3.0).abs() - 1.0
    return value[..., None] * (1.0 - saturation[..., None] * (1.0 - wheel.clamp(0.0, 1.0)))


class PatternBook:
    """Wave patterns fixed by a seed; an instance is drawn with its own scale, angle and phases."""

    def __init__(self, seed: int) -> None:
        draws = Draws(seed)
        self.turn = draws.uniform(0.15, 0.85, PATTERNS, 2) * math.pi
        self.ratio = draws.uniform(0.5, 1.9, PATTERNS, 2)
        self.weight = draws.uniform(-1.0, 1.0, PATTERNS, 4)
        self.gain = draws.uniform(1.2, 3.5, PATTERNS)
        self.warp = draws.uniform(0.0, 1.5, PATTERNS)

    def paint(self, draws: Draws, pattern: Tensor, size: int, freedom: Tensor) -> Tensor:
        """Return values -1 to 1, float32 [n, size, size], for the patterns (int64 [n]).

        `freedom` (float32 [n], 0 to 1) limits how far scale, angle and phases stray.
        """
        count = len(pattern)
        line = torch.arange(size) - (size - 1) / 2
        y, x = torch.meshgrid(line, line, indexing="ij")
        spread = draws.uniform(-0.5, 0.5, count) * freedom
        period = 7.0 * torch.exp(math.log(3.2) * spread)
        angle, phase = draws.angles(count) * freedom, draws.angles(count, 3) * freedom[:, None]

        def wave(turn: Tensor, ratio: Tensor, start: Tensor) -> Tensor:
            step = 2.0 * math.pi * ratio / period
            along = torch.cos(turn)[:, None, None] * x + torch.sin(turn)[:, None, None] * y
            return along * step[:, None, None] + start[:, None, None]

        first = torch.cos(
            wave(angle, torch.ones(count), phase[:, 0])
            + self.warp[pattern, None, None]
            * torch.sin(wave(angle + math.pi / 2, 0.5 * torch.ones(count), phase[:, 2]))
        )
        turn, ratio = self.turn[pattern], self.ratio[pattern]
        second = torch.cos(wave(angle + turn[:, 0], ratio[:, 0], phase[:, 1]))
        third = torch.cos(wave(angle - turn[:, 1], ratio[:, 1], phase[:, 2]))
        weight = self.weight[pattern][..., None, None]
        total = weight[:, 0] * first + weight[:, 1] * second + weight[:, 2] * third
        total = total + weight[:, 3] * first * second
        return torch.tanh(self.gain[pattern, None, None] * total)
