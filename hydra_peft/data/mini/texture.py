"""Specialized task: name one of eight surface patterns under any scale, angle, colour and light."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hydra_peft.data.mini.layout import IMAGE_SIZE, LABELLED_SIZE, balanced_labels
from hydra_peft.data.rendering.backgrounds import smooth_field
from hydra_peft.data.rendering.colours import contrasting, uniform
from hydra_peft.data.rendering.paint import add_noise, blend, to_bytes
from hydra_peft.data.rendering.patterns import PATTERNS, pattern_cover

TEST_SIZE = 1000

_SEED = 2202
_SHORTEST_PERIOD = 4.5
_LONGEST_PERIOD = 11.0

CLASSES = len(PATTERNS)


def generate() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return uint8 images [2000, 32, 32, 3] and int64 labels [2000].

    Labels in order: stripes, checks, spots, mesh, bricks, zigzag, waves, rings.
    """
    rng = np.random.RandomState(_SEED)
    labels = balanced_labels(rng, CLASSES, TEST_SIZE)
    count = LABELLED_SIZE + TEST_SIZE
    cover = pattern_cover(rng, labels, IMAGE_SIZE, _SHORTEST_PERIOD, _LONGEST_PERIOD)
    # Either colour may be the pattern, else brightness alone would tell mesh from spots.
    swapped = rng.random_sample(count) < 0.5
    cover[swapped] = 1.0 - cover[swapped]
    first = uniform(rng, 0.0, 1.0, count, 3)
    second = contrasting(rng, first, 0.35)
    canvas = np.broadcast_to(first[:, None, None], (count, IMAGE_SIZE, IMAGE_SIZE, 3)).copy()
    blend(canvas, cover * uniform(rng, 0.5, 1.0, count, 1, 1), second)
    canvas += 0.2 * smooth_field(rng, count, 2, IMAGE_SIZE)[..., None]
    add_noise(rng, canvas, uniform(rng, 0.02, 0.12, count))
    return to_bytes(canvas), labels
