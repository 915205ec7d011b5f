"""From a source's images to what training and scoring read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hydra_peft.data.cropping import CroppedImages
from hydra_peft.data.decoding import decode, in_threads
from hydra_peft.data.image_cache import open_cache
from hydra_peft.data.images import ArrayImages
from hydra_peft.data.split import Images, Rows, Split
from hydra_peft.errors import UserError

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
    split: Split,
    *,
    size: tuple[int, int] | None,
    cache: Path | None,
    title: str,
    crop: bool = False,
) -> Split:
    """Return ``split`` with its images in the size a model takes, other inputs as they are.

    Args:
        split: as its source gives it.
        size: height and width in pixels; None if the model takes no images.
        cache: folder of decoded images; None decodes whenever images are read, after checking that
            all of them can be.
        title: for progress bars.
        crop: the middle of each image is taken, not all of it squeezed into the size.

    Raises:
        UserError: an image cannot be read, or the cache cannot be written.
    """
    inputs = {
        name: _sized(rows, size, cache, title, crop=crop) if isinstance(rows, Images) else rows
        for name, rows in split.inputs.items()
    }
    return Split(inputs, split.targets)


def _sized(
    images: Images, size: tuple[int, int] | None, cache: Path | None, title: str, *, crop: bool
) -> Rows:
    if size is None:
        raise UserError(f"{title} has images, and the backbone takes none: choose another model.")
    if isinstance(images, ArrayImages) and tuple(images.array.shape[1:3]) == size:
        return images.array.permute(0, 3, 1, 2)
    images = CroppedImages(images, size) if crop else images
    if cache is None:
        # Before anyone trains for hours towards an image that cannot be scored.
        images.check_decodable()
        return DecodedPixels(images, size)
    return open_cache(images, size=size, folder=cache, title=title)
