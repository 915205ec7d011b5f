"""Image files to measure on: noise that a JPEG file stores as a photograph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import Compose, InterpolationMode, Normalize, Resize, ToTensor

#: width and height in pixels
PIXELS = (500, 375)
SIZE = (224, 224)
MEAN = STD = (0.5, 0.5, 0.5)


def write_files(folder: Path, count: int) -> list[Path]:
    """Write ``count`` JPEG files of some 30 kB each into ``folder`` and return their paths."""
    random = np.random.RandomState(0)
    files = []
    for number in range(count):
        small = random.randint(0, 256, (47, 63, 3)).astype(np.uint8)
        file = folder / f"{number:06d}.jpg"
        Image.fromarray(small).resize(PIXELS, Image.Resampling.BICUBIC).save(file)
        files.append(file)
    return files


class _Files(Dataset[tuple[Tensor, int]]):
    def __init__(self, files: Sequence[Path], labels: Sequence[int]) -> None:
        self.files, self.labels = files, labels
        self.transform = Compose(
            [Resize(SIZE, InterpolationMode.BICUBIC), ToTensor(), Normalize(MEAN, STD)]
        )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        image = Image.open(self.files[row]).convert("RGB")
        return self.transform(image), self.labels[row]


def plain_loader(
    files: Sequence[Path],
    labels: Sequence[int],
    batch_size: int,
    device: torch.device,
    *,
    shuffle: bool,
    workers: int,
) -> DataLoader[tuple[Tensor, int]]:
    """Return what the released code feeds training from: workers that decode every epoch."""
    return DataLoader(
        _Files(files, labels),
        batch_size,
        shuffle=shuffle,
        num_workers=workers,
        pin_memory=device.type == "cuda",
    )
