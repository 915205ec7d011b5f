"""A part of a task of benchmark mini, for tests that are about runs and not about accuracy."""

from __future__ import annotations

import fcntl
import functools
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from isolation import PLACE
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
    """Return images and labels of a task, which the workers make once: it takes seconds."""
    generate = find_generator(name).generate
    path = Path(os.environ[PLACE], f"{name}.npz")
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            before = np.random.get_state()[1].tolist()
            images, labels = generate()
            assert np.random.get_state()[1].tolist() == before, "drawn from numpy's global stream"
            unfinished = path.with_suffix(".part.npz")
            np.savez(unfinished, images=images, labels=labels)
            os.replace(unfinished, path)
    with np.load(path) as arrays:
        return arrays["images"], arrays["labels"]


def remembering(name: str) -> SimpleNamespace:
    """Return the generator of a task, which is made once."""
    module = find_generator(name)
    return SimpleNamespace(**{**vars(module), "generate": lambda: generated(name)})


def remember() -> None:
    """Let the tests of this process make no task of benchmark mini twice."""
    mini._generator = remembering  # type: ignore[assignment]


def shorten(patch: pytest.MonkeyPatch) -> None:
    """Make tasks of benchmark mini small, also in what is known of them before they are made."""
    patch.setattr(mini, "split_arrays", few_images)
    patch.setattr(mini, "sizes_of", lambda _: SIZES)
