"""A source outside the package: small images of which any number of quadrants are bright.

Task ``quadrants`` asks which of the four are (multi-label), ``brightness`` which share (a value);
split ``inverted`` has the negatives of the test images.
"""

from __future__ import annotations

import torch

from hydra_peft.data.images import ArrayImages
from hydra_peft.data.promises import LabelRange, SeenLabels
from hydra_peft.data.sources import DataRequest
from hydra_peft.data.split import Split
from hydra_peft.data.task_data import TaskData

SIZES = {"train800": 40, "val200": 24, "train": 64, "test": 32, "inverted": 32}


def labels_of(request: DataRequest) -> SeenLabels:
    """Return how many examples there are; their targets are no class numbers."""
    ranges = {name: LabelRange(SIZES[name], None, None) for name in request.splits}
    return SeenLabels(ranges, lineage="generated")


def load(request: DataRequest) -> TaskData:
    """Return the splits of a task, drawn from a fixed seed."""
    draw = torch.Generator().manual_seed(7)
    total = SIZES["train"] + SIZES["test"]
    bright = torch.rand(total, 4, generator=draw) < 0.5
    noise = torch.randint(0, 60, (total, 32, 32, 3), generator=draw, dtype=torch.uint8)
    lit = bright.view(-1, 2, 1, 2, 1).expand(-1, 2, 16, 2, 16).reshape(total, 32, 32, 1)
    images = noise + 150 * lit.to(torch.uint8)
    targets = bright if request.name == "quadrants" else bright.sum(1).float() / 4
    rows = {
        "train800": slice(40),
        "val200": slice(40, 64),
        "train": slice(64),
        "test": slice(64, None),
    }

    def split(name: str) -> Split:
        chosen = rows["test" if name == "inverted" else name]
        shown = 255 - images[chosen] if name == "inverted" else images[chosen]
        return Split({"image": ArrayImages(shown)}, targets[chosen])

    splits = {name: split(name) for name in request.splits}
    return TaskData(splits, "generated")
