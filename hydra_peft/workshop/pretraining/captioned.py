"""Captioned scenes: pictures of nameable things, and a sentence on each.

They say what the rendered tasks of benchmark `mini` ask for in the same words (how many, which
column, which way, which pattern), are drawn by the same routines, and come from distributions and
seeds of their own; no image of the benchmark is among them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hydra_peft.data.mini.placing import spread_out
from hydra_peft.data.rendering import shapes
from hydra_peft.data.rendering.backgrounds import add_strokes, smooth_field, tinted
from hydra_peft.data.rendering.colours import contrasting, uniform
from hydra_peft.data.rendering.paint import add_noise, blend, coverage, to_bytes
from hydra_peft.data.rendering.patterns import PATTERNS, pattern_cover
from hydra_peft.data.rendering.pose import FloatArray, Pose
from hydra_peft.workshop.pretraining.written_digits import digit_distance

Random = np.random.RandomState
Scenes = tuple[FloatArray, list[str]]

OPENINGS = ("a picture of", "a drawing of", "an image of", "")
SIZES = ("tiny", "small", "smallish", "largish", "large", "huge")
COUNTS = ("one", "two", "three", "four", "five", "six", "seven", "eight")
NUMBERS = (*COUNTS, "nine", "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen")
DIGITS = ("zero", *NUMBERS[:9])
#: sixteen directions, clockwise from the right, as pictures are drawn
DIRECTIONS = (
    *("east", "east south east", "south east", "south south east"),
    *("south", "south south west", "south west", "west south west"),
    *("west", "west north west", "north west", "north north west"),
    *("north", "north north east", "north east", "east north east"),
)
#: shape, its name, its name in the plural
_THINGS: dict[str, tuple[shapes.Distance, str]] = {
    "disc": (shapes.disc, "discs"),
    "square": (shapes.square, "squares"),
    "triangle": (shapes.triangle, "triangles"),
    "ellipse": (shapes.ellipse, "ellipses"),
    "heart": (shapes.heart, "hearts"),
    "cross": (shapes.cross, "crosses"),
    "ring": (shapes.ring, "rings"),
}
_SHAPES = tuple(shape for shape, _ in _THINGS.values())
_SINGULAR, _PLURAL = tuple(_THINGS), tuple(name for _, name in _THINGS.values())
_POINTED = {"arrow": shapes.arrow, "drop": shapes.drop, "heart": shapes.heart}
_SIDE = 32
_RIM = 4.5
_SMALLEST, _LARGEST = 1.5, 5.5


def vocabulary() -> tuple[str, ...]:
    """Return all words that captions are made of, sorted."""
    told = (*OPENINGS, *SIZES, *NUMBERS, *DIRECTIONS, *_SINGULAR, *_PLURAL, *_POINTED, *PATTERNS)
    glue = "a an the zero object objects in column and row pointing surface pattern digit number"
    crowd = "among smaller many small ellipses around large ellipse middle"
    return tuple(sorted({word for said in (*told, glue, crowd) for word in said.split()}))


@dataclass(frozen=True)
class CaptionedBatch:
    """images: float32 [n, 3, 32, 32] from -1 to 1; captions: a sentence on each."""

    images: Tensor
    captions: list[str]


class CaptionedSource:
    """Draws batches of captioned scenes, all different, from one seed."""

    def __init__(self, seed: int) -> None:
        self._rng = Random(seed)

    def batch(self, count: int) -> CaptionedBatch:
        """Return `count` fresh scenes, of the kinds there are in fixed shares."""
        shares = np.cumsum([share for share, _ in _KINDS])
        ends = np.rint(shares / shares[-1] * count).astype(int)
        canvases, captions, start = [], [], 0
        for end, (_, draw) in zip(ends, _KINDS, strict=True):
            if end > start:
                canvas, said = draw(self._rng, int(end - start))
                canvases.append(canvas)
                captions += said
            start = end
        canvas = np.concatenate(canvases)
        add_noise(self._rng, canvas, uniform(self._rng, 0.0, 0.08, count))
        pixels = torch.from_numpy(to_bytes(canvas)).permute(0, 3, 1, 2).contiguous()
        images = pixels.to(torch.float32) / 127.5 - 1.0
        # What is said alike is opened alike: each caption of a batch stands for all its images.
        opened = {said: f"{_one_of(self._rng, OPENINGS)} {said}".strip() for said in captions}
        return CaptionedBatch(images, [opened[said] for said in captions])


def _one_of(rng: Random, words: tuple[str, ...]) -> str:
    return words[rng.randint(len(words))]


def _article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeio" else f"a {noun}"


def _ground(rng: Random, count: int) -> tuple[FloatArray, FloatArray]:
    """Return lit backgrounds [n, 32, 32, 3], dark or of any colour, and their colours [n, 3]."""
    dark = rng.random_sample((count, 1)) < 0.4
    base = np.where(dark, uniform(rng, 0.0, 0.35, count, 3), uniform(rng, 0.1, 0.9, count, 3))
    return tinted(rng, base, 0.15, 3, _SIDE), base


def _put(
    canvas: FloatArray,
    shown: NDArray[np.bool_],
    kind: NDArray[np.int64],
    pose: Pose,
    colour: FloatArray,
    among: tuple[shapes.Distance, ...] = _SHAPES,
) -> None:
    """Paint an object of each image that is `shown` in place."""
    rows = canvas[shown]
    blend(
        rows,
        coverage(shapes.pixel_distance(among, kind[shown], pose.take(shown), _SIDE)),
        colour[shown],
    )
    canvas[shown] = rows


def _radius(rng: Random, size: FloatArray) -> FloatArray:
    """Return radii in pixels of sizes from 0 to 1, equal ratios apart."""
    radius: FloatArray = _SMALLEST * (_LARGEST / _SMALLEST) ** size
    return radius * uniform(rng, 0.95, 1.05, *size.shape)


def _several(rng: Random, count: int) -> Scenes:
    """Draw one to eight objects, alike or of all kinds; the caption counts them."""
    canvas, base = _ground(rng, count)
    number = rng.randint(1, len(COUNTS) + 1, count)
    alike = rng.random_sample(count) < 0.3
    kinds = rng.randint(0, len(_SHAPES), (count, len(COUNTS)))
    kinds = np.where(alike[:, None], kinds[:, :1], kinds).astype(np.int64)
    radius = uniform(rng, 2.0, 4.2, count, len(COUNTS))
    x, y = spread_out(rng, radius, 0.5, _SIDE, tries=24)
    angle = uniform(rng, 0.0, 2.0 * np.pi, count, len(COUNTS))
    for k in range(len(COUNTS)):
        pose = Pose(x[:, k], y[:, k], radius[:, k], angle[:, k])
        _put(canvas, number > k, kinds[:, k], pose, contrasting(rng, base, 0.5))
    said = []
    for n, same, kind in zip(number, alike, kinds[:, 0], strict=True):
        one, many = (_SINGULAR[kind], _PLURAL[kind]) if same else ("object", "objects")
        said.append(f"{COUNTS[n - 1]} {one if n == 1 else many}")
    return canvas, said


def _placed(rng: Random, count: int) -> Scenes:
    """Draw an object somewhere; the caption says in which of sixteen columns, or rows too."""
    canvas, base = _ground(rng, count)
    add_strokes(rng, canvas, base, 2, 0.35)
    kind = rng.randint(0, len(_SHAPES), count).astype(np.int64)
    step = (_SIDE - 2.0 * _RIM) / len(NUMBERS)
    column, row = rng.randint(0, len(NUMBERS), (2, count))
    x, y = (_RIM + (place + uniform(rng, 0.05, 0.95, count)) * step for place in (column, row))
    pose = Pose(x, y, uniform(rng, 2.6, 5.2, count), uniform(rng, 0.0, 2.0 * np.pi, count))
    _put(canvas, np.ones(count, bool), kind, pose, contrasting(rng, base, 0.55))
    said = []
    for k, c, r in zip(kind, column, row, strict=True):
        name = _article(_SINGULAR[k] if rng.random_sample() < 0.4 else "object")
        below = f" and row {NUMBERS[r]}" if rng.random_sample() < 0.3 else ""
        said.append(f"{name} in column {NUMBERS[c]}{below}")
    return canvas, said


def _pointing(rng: Random, count: int) -> Scenes:
    """Draw an object that has a tip; the caption says which way that points."""
    canvas, base = _ground(rng, count)
    kind = rng.randint(0, len(_POINTED), count).astype(np.int64)
    direction = rng.randint(0, len(DIRECTIONS), count)
    radius = uniform(rng, 5.5, 11.0, count)
    room = _SIDE - 2.0 * radius
    x, y = (radius + room * rng.random_sample(count) for _ in range(2))
    turn = (direction + uniform(rng, -0.45, 0.45, count)) * (2.0 * np.pi / len(DIRECTIONS))
    colour = contrasting(rng, base, 0.6)
    _put(
        canvas, np.ones(count, bool), kind, Pose(x, y, radius, turn), colour, (*_POINTED.values(),)
    )
    said = []
    for k, d in zip(kind, direction, strict=True):
        name = _article((*_POINTED,)[k] if rng.random_sample() < 0.5 else "object")
        said.append(f"{name} pointing {DIRECTIONS[d]}")
    return canvas, said


def _patterned(rng: Random, count: int) -> Scenes:
    """Draw a surface; the caption names its pattern."""
    kind = rng.randint(0, len(PATTERNS), count).astype(np.int64)
    cover = pattern_cover(rng, kind, _SIDE, 4.0, 12.0)
    swapped = rng.random_sample(count) < 0.5
    cover[swapped] = 1.0 - cover[swapped]
    first = uniform(rng, 0.0, 1.0, count, 3)
    canvas = np.broadcast_to(first[:, None, None], (count, _SIDE, _SIDE, 3)).copy()
    blend(canvas, cover * uniform(rng, 0.4, 1.0, count, 1, 1), contrasting(rng, first, 0.35))
    canvas += 0.2 * smooth_field(rng, count, 2, _SIDE)[..., None]
    names = (*PATTERNS,)
    return canvas, [f"{_one_of(rng, ('a surface', 'a pattern'))} of {names[k]}" for k in kind]


def _written(rng: Random, count: int) -> Scenes:
    """Draw a digit as a hand may write it; the caption names it."""
    digit = rng.randint(0, len(DIGITS), count).astype(np.int64)
    distance, half = digit_distance(rng, digit, _SIDE)
    width = uniform(rng, 0.1, 0.24, count) * half
    soft = uniform(rng, 1.5, 6.0, count)[:, None, None]
    alpha = np.clip(0.5 - (distance - width[:, None, None]) / soft, 0.0, 1.0)
    base = uniform(rng, 0.0, 0.25, count, 1) * np.ones(3)
    canvas = tinted(rng, base, 0.05, 2, _SIDE)
    ink = uniform(rng, 0.7, 1.0, count, 1) * np.ones(3)
    blend(canvas, alpha, ink)
    upside = rng.random_sample(count) < 0.2
    canvas[upside] = 1.0 - canvas[upside]
    return canvas, [f"the {_one_of(rng, ('digit', 'number'))} {DIGITS[d]}" for d in digit]


def _sized(rng: Random, count: int) -> Scenes:
    """Draw up to three objects; the caption tells the size of the largest, which is in front."""
    canvas, base = _ground(rng, count)
    level = rng.randint(0, len(SIZES), count)
    largest = (level + uniform(rng, 0.1, 0.9, count)) / len(SIZES)
    others = rng.randint(0, 3, count)
    for k in (2, 1, 0):
        radius = _radius(rng, largest * (1.0 if k == 0 else uniform(rng, 0.0, 0.85, count)))
        x, y = uniform(rng, 3.0, _SIDE - 3.0, 2, count)
        pose = Pose(x, y, radius, uniform(rng, 0.0, 2.0 * np.pi, count))
        kind = rng.randint(0, len(_SHAPES), count).astype(np.int64)
        _put(canvas, others >= k, kind, pose, contrasting(rng, base, 0.45))
    one = [_article(SIZES[n]) for n in level]
    return canvas, [
        f"{size} object" if not n else f"{size} object among smaller objects"
        for size, n in zip(one, others, strict=True)
    ]


def _crowded(rng: Random, count: int) -> Scenes:
    """Draw many small ellipses of one colour and, in half, a larger one in the middle or not."""
    base = uniform(rng, 0.5, 0.95, count, 3)
    canvas = tinted(rng, base, 0.15, 5, _SIDE)
    ink = base * uniform(rng, 0.4, 0.75, count, 1)
    ellipse = (shapes.ellipse,)
    kind, shown = np.zeros(count, np.int64), np.ones(count, bool)
    for _ in range(12):
        x, y = uniform(rng, 0.0, _SIDE, 2, count)
        pose = Pose(x, y, uniform(rng, 1.4, 2.5, count), uniform(rng, 0.0, 2.0 * np.pi, count))
        _put(canvas, shown, kind, pose, ink * uniform(rng, 0.8, 1.2, count, 1), ellipse)
    central, outer = rng.random_sample((2, count)) < 0.5
    angle, far = uniform(rng, 0.0, 2.0 * np.pi, count), uniform(rng, 11.0, 15.0, count)
    inner = uniform(rng, 9.5, _SIDE - 9.5, 2, count)
    out = _SIDE / 2 + far * np.stack([np.cos(angle), np.sin(angle)])
    for (x, y), there in ((out, outer), (inner, central)):
        pose = Pose(x, y, uniform(rng, 3.0, 4.2, count), uniform(rng, 0.0, 2.0 * np.pi, count))
        _put(canvas, there, kind, pose, ink * uniform(rng, 0.65, 1.0, count, 1), ellipse)
    around = " around a large ellipse in the middle"
    return canvas, ["many small ellipses" + around * bool(one) for one in central]


_KINDS: tuple[tuple[float, Callable[[Random, int], Scenes]], ...] = (
    (0.2, _several),
    (0.22, _placed),
    (0.2, _pointing),
    (0.12, _patterned),
    (0.12, _written),
    (0.08, _sized),
    (0.06, _crowded),
)
