"""Resizing equals torchvision's on PIL images."""

from __future__ import annotations

import torch
from PIL import Image
from torchvision.transforms import InterpolationMode, Resize
from torchvision.transforms.functional import pil_to_tensor

from hydra_peft.data.resize import resize_images


def test_bit_equal_to_torchvision() -> None:
    images = torch.randint(0, 256, (5, 20, 31, 3), dtype=torch.uint8)
    transform = Resize((24, 16), InterpolationMode.BICUBIC)
    expected = torch.stack(
        [pil_to_tensor(transform(Image.fromarray(image.numpy()))) for image in images]
    ).permute(0, 2, 3, 1)
    assert torch.equal(resize_images(images, (24, 16)), expected)


def test_right_size_is_left_alone() -> None:
    images = torch.zeros(2, 8, 9, 3, dtype=torch.uint8)
    assert resize_images(images, (8, 9)) is images
