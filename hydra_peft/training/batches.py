"""Batches: their order, and what a model is called with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from hydra_peft.augmentations import Augmentation
from hydra_peft.data.split import Batch, Split

#: from a batch, on the device that computes, to a model's input: a tensor, or tensors by name
Prepare = Callable[[Batch], Any]


@dataclass(frozen=True)
class Feed:
    """Input of the training steps: the whole model on images, or its head on frozen features.

    Attributes:
        module: what is trained and scored.
        train_split: what is learnt from; its inputs, or features of them.
        scored: the splits that are scored, by name; likewise.
        prepare: from a batch of these to its input.
        path: which way it is, for the record.
        augmentation: changes the images of training batches; None leaves them as they are.
    """

    module: nn.Module
    train_split: Split
    scored: Mapping[str, Split]
    prepare: Prepare
    path: Mapping[str, object] = field(default_factory=dict)
    augmentation: Augmentation | None = None


class Normalizer:
    """Turns images, uint8 ``[b, 3, h, w]``, into float32: (x / 255 - mean) / std by channel.

    Bit-equal to torchvision's ``ToTensor`` followed by ``Normalize``.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], device: torch.device) -> None:
        self.mean = torch.tensor(mean, device=device).view(-1, 1, 1)
        self.std = torch.tensor(std, device=device).view(-1, 1, 1)

    def __call__(self, batch: Batch) -> Tensor:
        """Return the batch's images as a model takes them."""
        images = batch.inputs["image"]
        assert isinstance(images, Tensor), "images are no ragged rows"
        if images.is_cuda:
            pixels = images.to(torch.float32, memory_format=torch.contiguous_format)
            return pixels.div_(255).sub_(self.mean).div_(self.std)
        # One image after the other stays in a processor's cache: twice as fast as all at once.
        pixels = torch.empty(images.shape)
        for image, planes in zip(pixels, images, strict=True):
            image.copy_(planes).div_(255).sub_(self.mean).div_(self.std)
        return pixels


def batch_count(size: int, batch_size: int, drop_last: bool) -> int:
    """Return the number of batches of one epoch over ``size`` examples."""
    return size // batch_size if drop_last else -(-size // batch_size)


def shuffled_rows(
    size: int,
    batch_size: int,
    generator: torch.Generator,
    *,
    drop_last: bool,
    device: torch.device | None = None,
) -> Iterator[Tensor]:
    """Yield one epoch of batches as positions, int64, in an order drawn from ``generator``."""
    order = torch.randperm(size, generator=generator).to(device)
    for batch in range(batch_count(size, batch_size, drop_last)):
        yield order[batch * batch_size : (batch + 1) * batch_size]
