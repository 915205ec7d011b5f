from __future__ import annotations

import importlib
import subprocess
import sys

import numpy as np
from few_images import generated

from hydra_peft.data.mini.layout import balanced_labels
from hydra_peft.data.mini.placing import spread_out

TASKS = (
    "digits",
    "texture",
    "cells",
    "sprites_location",
    "sprites_orientation",
    "shapes_count",
    "shapes_distance",
)


def test_balanced_labels_follow_the_seed() -> None:
    first = balanced_labels(np.random.RandomState(3), 6, 50)
    again = balanced_labels(np.random.RandomState(3), 6, 50)
    other = balanced_labels(np.random.RandomState(4), 6, 50)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.bincount(first[1000:]).tolist() == [9, 9, 8, 8, 8, 8]


def test_spread_out_keeps_circles_inside_and_apart() -> None:
    rng = np.random.RandomState(0)
    radius = rng.uniform(2.0, 4.0, (200, 6))
    x, y = spread_out(rng, radius, 0.5, 32)
    assert (x - radius >= 0).all()
    assert (y + radius <= 32).all()
    apart = np.hypot(x[:, :, None] - x[:, None], y[:, :, None] - y[:, None])
    gap = apart - radius[:, :, None] - radius[:, None]
    gap[:, np.arange(6), np.arange(6)] = np.inf
    assert (gap.min(axis=(1, 2)) >= 0.5).mean() > 0.97


def test_a_second_call_starts_from_the_same_seed() -> None:
    first = generated("digits")
    again = importlib.import_module("hydra_peft.data.mini.digits").generate()
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])


def test_generators_do_not_load_torch() -> None:
    imports = "; ".join(f"import hydra_peft.data.mini.{name}" for name in TASKS)
    check = f"import sys; {imports}; assert not {{'torch', 'sklearn'}} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)
