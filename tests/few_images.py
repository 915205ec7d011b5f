"""A part of a task of benchmark mini, for tests that are about runs and not about accuracy."""

from __future__ import annotations

import functools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from hydra_peft.data.images import ArrayImages
from hydra_peft.data.sources import mini
from hydra_peft.data.split import Split

find_generator = mini._generator
#: what is kept, by split
SIZES = {"train800": 64, "val200": 25, "train": 89, "test": 50}


def few_images(images: Tensor, labels: Tensor) -> dict[str, Split]:
    """Return the splits of a task, small; takes the place of ``split_arrays``."""
    fit, held = torch.arange(64), torch.arange(800, 825)
    rows = {"train800": fit, "val200": held, "train": torch.cat([fit, held])}
    rows["test"] = torch.arange(1000, 1050)
    assert {name: len(found) for name, found in rows.items()} == SIZES
    return {name: Split({"image": ArrayImages(images[i])}, labels[i]) for name, i in rows.items()}


@functools.cache
def generated(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return images and labels of a task; each process makes them once, which takes seconds."""
    return find_generator(name).generate()


def remembering(name: str) -> SimpleNamespace:
    """Return the generator of a task, which makes it once."""
    module = find_generator(name)
    return SimpleNamespace(**{**vars(module), "generate": lambda: generated(name)})


def shorten(patch: pytest.MonkeyPatch) -> None:
    """Make tasks of benchmark mini small, also in what is known of them before they are made."""
    patch.setattr(mini, "_generator", remembering)
    patch.setattr(mini, "split_arrays", few_images)
    patch.setattr(mini, "sizes_of", lambda _: SIZES)
