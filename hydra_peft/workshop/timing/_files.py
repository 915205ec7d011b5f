"""Image files to measure on: noise that a JPEG file stores as a photograph."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import Compose, InterpolationMode, Normalize, Resize, ToTensor

from hydra_peft.cores import usable_cores

#: width and height in pixels
PIXELS = (500, 375)
SIZE = (224, 224)
MEAN = STD = (0.5, 0.5, 0.5)


def write_files(folder: Path, count: int) -> list[Path]:
    """Write ``count`` JPEG files of some 30 kB each into ``folder`` and return their paths."""
    random = np.random.RandomState(0)
    files = [folder / f"{number:06d}.jpg" for number in range(count)]
    small = (random.randint(0, 256, (47, 63, 3)).astype(np.uint8) for _ in files)
    with ThreadPoolExecutor(usable_cores()) as threads:
        list(threads.map(_write_file, files, small))
    return files


def _write_file(file: Path, small: NDArray[np.uint8]) -> None:
    Image.fromarray(small).resize(PIXELS, Image.Resampling.BICUBIC).save(file)


class _Files(Dataset[tuple[Tensor, int]]):
    def __init__(self, files: Sequence[Path], labels: Sequence[int], size: tuple[int, int]) -> None:
        self.files, self.labels = files, labels
        self.transform = Compose(
            [Resize(size, InterpolationMode.BICUBIC), ToTensor(), Normalize(MEAN, STD)]
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
    size: tuple[int, int] = SIZE,
    shuffle: bool,
    workers: int,
) -> DataLoader[tuple[Tensor, int]]:
    """Return the released code's loader: workers that decode every epoch.

    Args:
        size: height and width of what it feeds, in pixels.
    """
    return DataLoader(
        _Files(files, labels, size),
        batch_size,
        shuffle=shuffle,
        num_workers=workers,
        pin_memory=device.type == "cuda",
    )
