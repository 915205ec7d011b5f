"""Scenes of the source task: a patterned background, small companions and one main object."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hydra_peft.workshop.pretraining.class_fields import outline_fields, symbol_fields
from hydra_peft.workshop.pretraining.materials import (
    FAMILIES,
    PATTERNS,
    Draws,
    PatternBook,
    family_colours,
)

SYMBOLS = 192
OUTLINES = 64
IDENTITIES = SYMBOLS + OUTLINES
COMPANION_OUTLINES = 12
COMPANIONS = COMPANION_OUTLINES * FAMILIES
NO_IDENTITY = -100
"""The identity of a scene without a main object; torch's cross-entropy leaves it out."""

# The classes themselves are fixed; the seed of a run only draws their instances.
_CLASS_SEED = 1301
_FIELD_SIZE = 48
_EXTENT = 1.5
_COMPANION_SLOTS = 4
_COLOUR_TRIES = 6
_BARE_SHARE = 0.3


@dataclass(frozen=True)
class SceneBatch:
    """images: float32 [n, 3, size, size] from -1 to 1, and what they show.

    identity: int64 [n], the class of the main (largest) object, or NO_IDENTITY; pattern and family:
    int64 [n], those of the background; companions: float32 [n, COMPANIONS], 1 for each outline and
    colour family among the small objects.
    """

    images: Tensor
    identity: Tensor
    pattern: Tensor
    family: Tensor
    companions: Tensor


@functools.cache
def _class_fields() -> Tensor:
    """Return the distance fields of all identities, float32 [IDENTITIES, field, field]."""
    symbols = symbol_fields(SYMBOLS, _CLASS_SEED, _FIELD_SIZE, _EXTENT)
    outlines = outline_fields(OUTLINES, _CLASS_SEED + 1, _FIELD_SIZE, _EXTENT)
    return torch.from_numpy(np.concatenate([symbols, outlines]))


def _between(easy: float, hard: float, difficulty: Tensor) -> Tensor:
    """Return easy at difficulty 0, hard at difficulty 1 and a mix in between, shaped alike."""
    return easy + (hard - easy) * difficulty


class SceneSource:
    """Draws batches of scenes, all different, from one seed.

    Each scene has a difficulty from 0 to 1. At 0 the main object stands upright in the middle,
    large and clean, on a pattern of fixed scale and angle; at 1 all of this varies in full. Without
    easy scenes at the start a small transformer stays at chance for thousands of steps.
    """

    def __init__(self, seed: int, size: int = 32) -> None:
        self._fields = _class_fields()
        self._patterns = PatternBook(_CLASS_SEED + 2)
        self._draws = Draws(seed)
        self._size = size

    def batch(self, count: int, top: float = 1.0, mixed: bool = False) -> SceneBatch:
        """Return `count` fresh scenes of difficulty `top`, or of difficulties up to it if `mixed`.

        Raises ValueError if `top` is outside 0 to 1.
        """
        if not 0.0 <= top <= 1.0:
            raise ValueError(f"top must be between 0 and 1, got {top}")
        difficulty = torch.full((count,), top)
        if mixed:
            # The square root makes the harder ones more frequent.
            difficulty = top * self._draws.uniform(0.0, 1.0, count).sqrt()
        pattern = self._draws.integers(PATTERNS, count)
        family = self._draws.integers(FAMILIES, count)
        canvas, mean = self._background(pattern, family, difficulty)
        companions = torch.zeros(count, COMPANIONS)
        for _ in range(_COMPANION_SLOTS):
            canvas = self._add_companion(canvas, mean, companions, difficulty)
        canvas, identity = self._add_main(canvas, mean, difficulty)
        strength = self._draws.uniform(0.0, 0.07, count) * difficulty
        canvas = canvas + self._draws.normal(*canvas.shape) * strength[:, None, None, None]
        images = canvas.clamp(0.0, 1.0) * 2.0 - 1.0
        return SceneBatch(images, identity, pattern, family, companions)

    def _background(
        self, pattern: Tensor, family: Tensor, difficulty: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return canvases [n, 3, size, size] and their mean colours [n, 3]."""
        draws, count = self._draws, len(difficulty)
        value = self._patterns.paint(draws, pattern, self._size, difficulty)
        first, second = family_colours(draws, torch.stack([family, family]))
        # Easy scenes have a dark background whose pattern is lighter than its ground.
        upside = (first.sum(dim=1) > second.sum(dim=1)) & (
            draws.uniform(0.0, 1.0, count) > difficulty
        )
        first, second = (
            torch.where(upside[:, None], second, first),
            torch.where(upside[:, None], first, second),
        )
        dimmed = _between(0.5, 1.0, difficulty)[:, None]
        first, second = first * dimmed, second * dimmed
        # Low contrast is common, so that objects can be told from the pattern around them.
        contrast = draws.uniform(0.0, 1.0, count, 1) ** 1.5
        contrast = contrast + (1.0 - contrast) * _between(0.7, 0.15, difficulty)[:, None]
        second = first + (second - first + draws.uniform(-0.3, 0.3, count, 3)) * contrast
        share = 0.5 + 0.5 * value[:, None]
        canvas = first[..., None, None] + (second - first)[..., None, None] * share
        light = F.interpolate(
            draws.uniform(-0.12, 0.12, count, 1, 3, 3), self._size, mode="bicubic"
        )
        return canvas + light, (first + second) / 2

    def _cover(
        self, which: Tensor, place: Tensor, radius: Tensor, turn: Tensor, half_width: Tensor
    ) -> Tensor:
        """Return coverage [n, 1, size, size] of the objects `which` (int64 [n]).

        place: [n, 2] centre in pixels; radius: [n, 2] half axes in pixels; turn: [n] angle;
        half_width: [n], added around the stored outline or stroke, in units of the radius.
        """
        line = torch.arange(self._size) + 0.5
        y, x = torch.meshgrid(line, line, indexing="ij")
        dx, dy = x - place[:, 0, None, None], y - place[:, 1, None, None]
        cos, sin = torch.cos(turn)[:, None, None], torch.sin(turn)[:, None, None]
        u = (dx * cos + dy * sin) / radius[:, 0, None, None]
        v = (dy * cos - dx * sin) / radius[:, 1, None, None]
        grid = torch.stack([u, v], dim=-1) / _EXTENT
        distance = F.grid_sample(
            self._fields[which][:, None], grid, padding_mode="border", align_corners=False
        )
        mean_radius = radius.mean(dim=1)[:, None, None, None]
        return (0.5 - (distance - half_width[:, None, None, None]) * mean_radius).clamp(0.0, 1.0)

    def _far_colour(self, family: Tensor, mean: Tensor) -> Tensor:
        """Return a colour [n, 3] of each family, the farthest from `mean` of a few draws."""
        tries = family_colours(self._draws, family.expand(_COLOUR_TRIES, -1))
        best = (tries - mean).norm(dim=2).argmax(dim=0)
        return tries[best, torch.arange(len(best))]

    def _add_companion(
        self, canvas: Tensor, mean: Tensor, present: Tensor, difficulty: Tensor
    ) -> Tensor:
        """Return canvases with one more small object on about half of them; marks `present`."""
        draws, count = self._draws, len(canvas)
        outline = draws.integers(COMPANION_OUTLINES, count)
        family = draws.integers(FAMILIES, count)
        shown = (draws.uniform(0.0, 1.0, count) < 0.5).float()
        radius = 5.0 - draws.uniform(0.0, 2.5, count, 1) * difficulty[:, None]
        radius = radius * draws.uniform(0.85, 1.15, count, 2)
        place = draws.uniform(2.0, self._size - 2.0, count, 2)
        turn = draws.angles(count) * difficulty
        alpha = self._cover(SYMBOLS + outline, place, radius, turn, torch.zeros(count))
        alpha = alpha * shown[:, None, None, None]
        rows, label = torch.arange(count), outline * FAMILIES + family
        present[rows, label] = torch.maximum(present[rows, label], shown)
        return canvas + alpha * (self._far_colour(family, mean)[..., None, None] - canvas)

    def _add_main(self, canvas: Tensor, mean: Tensor, difficulty: Tensor) -> tuple[Tensor, Tensor]:
        """Return canvases, most of them with a main object on top, and its class [n]."""
        draws, count = self._draws, len(canvas)
        identity = draws.integers(IDENTITIES, count)
        is_symbol = identity < SYMBOLS
        smallest = _between(13.0, 6.5, difficulty)
        size = (smallest + (15.0 - smallest) * draws.uniform(0.0, 1.0, count))[:, None]
        radius = size * (1.0 + draws.uniform(-0.15, 0.15, count, 2) * difficulty[:, None])
        room = (self._size / 2 - 0.85 * size).clamp(min=0.0) * difficulty[:, None]
        place = self._size / 2 + draws.uniform(-1.0, 1.0, count, 2) * room
        turn = torch.where(is_symbol, draws.uniform(-0.45, 0.45, count), draws.angles(count))
        turn = turn * difficulty
        half_width = torch.where(is_symbol, draws.uniform(0.06, 0.2, count), torch.zeros(count))
        alpha = self._cover(identity, place, radius, turn, half_width)
        colour = self._far_colour(draws.integers(FAMILIES, count), mean)
        # In easy scenes the main object is white.
        colour = 1.0 + (colour - 1.0) * difficulty[:, None]
        bare = draws.uniform(0.0, 1.0, count) < _BARE_SHARE
        alpha = alpha * (~bare).float()[:, None, None, None]
        canvas = canvas + alpha * (colour[..., None, None] - canvas)
        return canvas, torch.where(bare, NO_IDENTITY, identity)
