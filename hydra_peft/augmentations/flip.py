"""Mirrored images: left and right change places."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hydra_peft.augmentations._base import Augmentation, Probability

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Flip(Augmentation):
    """Horizontal flip, as torchvision's ``RandomHorizontalFlip``.

    Attributes:
        flip: how probable it is for an image.
    """

    name: ClassVar[str] = "flip"
    flip: Probability = 0.5

    def draw(self, count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """Return 1 for each image that is mirrored, else 0: int64 ``[count, 1]``."""
        return draw_flips(count, self.flip, generator)[:, None]

    def apply(self, images: Tensor, draws: Tensor) -> Tensor:
        """Return ``images``, some of them mirrored."""
        return flipped(images, draws[:, 0])


def draw_flips(count: int, probability: float, generator: torch.Generator) -> Tensor:
    """Return 1 for each of ``count`` images that is to be mirrored, else 0: int64 ``[count]``."""
    import torch

    return (torch.rand(count, generator=generator) < probability).long()


def flipped(images: Tensor, flips: Tensor) -> Tensor:
    """Return ``images``, those mirrored where ``flips``, ``[b]``, is not 0."""
    import torch

    chosen = flips.bool().to(images.device)[:, None, None, None]
    return torch.where(chosen, images.flip(-1), images)


AUGMENTATION = Flip
