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
from hydra_peft.data.split import Images, Rows, Split, Texts
from hydra_peft.data.token_cache import tokenized
from hydra_peft.data.tokenizer import Encoding
from hydra_peft.data.unread import images_unread, texts_unread

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
    encoding: Encoding | None = None,
    crop: bool = False,
) -> Split:
    """Return ``split`` with its images in the size a model takes and its texts as token ids.

    Other inputs stay as they are.

    Args:
        split: as its source gives it.
        size: height and width in pixels; None if the model takes no images.
        cache: folder of decoded images and tokenised texts; None decodes whenever images are read,
            after checking that all of them can be.
        title: for progress bars.
        encoding: how the model reads texts; None if it takes none.
        crop: the middle of each image is taken, not all of it squeezed into the size.

    Raises:
        UserError: an image cannot be read, the cache cannot be written, or the model takes no such
            inputs.
    """
    inputs: dict[str, Rows] = {}
    for name, rows in split.inputs.items():
        if isinstance(rows, Texts):
            inputs |= tokenized(rows, _reading(encoding, title), cache, title)
        elif isinstance(rows, Images):
            inputs[name] = _sized(rows, size, cache, title, crop=crop)
        else:
            inputs[name] = rows
    return Split(inputs, split.targets)


def _reading(encoding: Encoding | None, title: str) -> Encoding:
    if encoding is None:
        raise texts_unread(title)
    return encoding


def _sized(
    images: Images, size: tuple[int, int] | None, cache: Path | None, title: str, *, crop: bool
) -> Rows:
    if size is None:
        raise images_unread(title)
    if isinstance(images, ArrayImages) and tuple(images.array.shape[1:3]) == size:
        return images.array.permute(0, 3, 1, 2)
    images = CroppedImages(images, size) if crop else images
    if cache is None:
        # Before anyone trains for hours towards an image that cannot be scored.
        images.check_decodable()
        return DecodedPixels(images, size)
    return open_cache(images, size=size, folder=cache, title=title)
