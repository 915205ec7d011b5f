"""A part of a task of benchmark mini, for tests that are about runs and not about accuracy."""

from __future__ import annotations

import torch
from torch import Tensor

from hydra_peft.data.splits import ArrayImages, SourceSplit

#: what is kept, by split
SIZES = {"train800": 64, "val200": 25, "train": 89, "test": 50}


def few_images(images: Tensor, labels: Tensor) -> dict[str, SourceSplit]:
    """Return the splits of a task, small; takes the place of ``mini.split_arrays``."""
    fit, held = torch.arange(64), torch.arange(800, 825)
    rows = {"train800": fit, "val200": held, "train": torch.cat([fit, held])}
    rows["test"] = torch.arange(1000, 1050)
    assert {name: len(found) for name, found in rows.items()} == SIZES
    return {name: SourceSplit(ArrayImages(images[i]), labels[i]) for name, i in rows.items()}
