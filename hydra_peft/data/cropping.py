"""Centre crops: an image's short side is resized to the model's, the rest is cut off."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from hydra_peft.data.decoding import resize
from hydra_peft.data.split import Images


def middle(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize uint8 ``[h, w, 3]`` to cover ``size`` and return the middle of it, ``[*size, 3]``.

    Of a square ``size`` bit-equal to ``torchvision.transforms.Resize(side, BICUBIC)`` and
    ``CenterCrop(side)`` on the PIL image, which is how CLIP is fed.
    """
    height, width = size
    covering = _covering(pixels.shape[0], pixels.shape[1], size)
    resized = resize(pixels, covering)
    top = round((covering[0] - height) / 2)
    left = round((covering[1] - width) / 2)
    return np.ascontiguousarray(resized[top : top + height, left : left + width])


def _covering(height: int, width: int, size: tuple[int, int]) -> tuple[int, int]:
    """Return the smallest height and width in the proportion of an image that cover ``size``."""
    if width * size[0] >= height * size[1]:
        return size[0], max(size[1], int(size[0] * width / height))
    return max(size[0], int(size[1] * height / width)), size[1]


@dataclass(frozen=True)
class CroppedImages(Images):
    """The middle of each of ``images``, in ``size``."""

    images: Images
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.images)

    def pixels(self, index: int) -> np.ndarray:
        """Return the middle of one image, uint8 ``[*size, 3]``."""
        return middle(self.images.pixels(index), self.size)

    @property
    def hashes(self) -> Tensor:
        """The sha256 of each whole image, uint8 ``[n, 32]``."""
        return self.images.hashes

    @property
    def sha256(self) -> str:
        """Hash of the images and of what is done to them: the cache keeps both ways apart."""
        return hashlib.sha256(f"{self.images.sha256} middle".encode()).hexdigest()

    def part(self, rows: Sequence[int], name: str) -> CroppedImages:
        """Return the images at ``rows``."""
        return CroppedImages(self.images.part(rows, name), self.size)

    def check_decodable(self) -> None:
        """See :meth:`hydra_peft.data.split.Images.check_decodable`."""
        self.images.check_decodable()
