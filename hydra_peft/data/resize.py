"""Images to the size a model takes."""

from __future__ import annotations

import torch
from torch import Tensor

from hydra_peft.data.splits import ImageSplit


def resize_images(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize uint8 ``[n, h, w, 3]`` to ``[n, *size, 3]``: PIL bicubic, aspect ignored.

    Bit-equal to ``torchvision.transforms.Resize(size, BICUBIC)`` on PIL images; images that have
    the size already are returned as they are.
    """
    if tuple(images.shape[1:3]) == size:
        return images
    from PIL import Image

    height, width = size
    out = torch.empty(len(images), height, width, 3, dtype=torch.uint8)
    for row, image in enumerate(images.numpy()):
        resized = Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)
        out[row] = torch.frombuffer(bytearray(resized.tobytes()), dtype=torch.uint8).view(
            height, width, 3
        )
    return out


def resize_split(split: ImageSplit, size: tuple[int, int]) -> ImageSplit:
    """Return ``split`` with its images resized, see :func:`resize_images`."""
    return ImageSplit(resize_images(split.images, size), split.labels)
