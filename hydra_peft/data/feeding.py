"""From a source's images to what training and scoring read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hydra_peft.data.decoding import decode, in_threads
from hydra_peft.data.image_cache import open_cache
from hydra_peft.data.split import Split
from hydra_peft.data.splits import ArrayImages, Images, SourceSplit

#: images decoded by one thread at a time
_CHUNK = 16


class DecodedPixels:
    """Images decoded whenever they are read: no disk, no memory, all of the time.

    Slicing returns uint8 ``[k, 3, height, width]``.
    """

    def __init__(self, images: Images, size: tuple[int, int]) -> None:
        self.images = images
        self.size = size

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: slice) -> Tensor:
        start, stop, _ = rows.indices(len(self))
        starts = range(start, stop, _CHUNK)
        chunks = in_threads(
            lambda first: decode(self.images, first, min(stop, first + _CHUNK), self.size), starts
        )
        decoded = np.concatenate([pixels for _, pixels in chunks])
        return torch.from_numpy(decoded).permute(0, 3, 1, 2)


def prepare_split(
    split: SourceSplit, *, size: tuple[int, int], cache: Path | None, title: str
) -> Split:
    """Return ``split`` in the size a model takes.

    Args:
        split: as its source holds it.
        size: height and width in pixels.
        cache: folder of decoded images; None decodes whenever images are read, after checking that
            all of them can be.
        title: for progress bars.

    Raises:
        UserError: an image cannot be read, or the cache cannot be written.
    """
    images = split.images
    if isinstance(images, ArrayImages) and tuple(images.array.shape[1:3]) == size:
        return Split({"image": images.array.permute(0, 3, 1, 2)}, split.labels)
    if cache is None:
        # Before anyone trains for hours towards an image that cannot be scored.
        images.check_decodable()
        return Split({"image": DecodedPixels(images, size)}, split.labels)
    cached = open_cache(images, size=size, folder=cache, title=title)
    return Split({"image": cached}, split.labels)
