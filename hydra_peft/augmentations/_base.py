"""The interface of an augmentation: options that a config sets, numbers drawn for each image, and
what they make of a batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from hydra_peft.limits import Limits, check_limits

if TYPE_CHECKING:
    import torch  # configs name augmentations and must not wait for torch
    from torch import Tensor

#: how many of the images something happens to, all of them included
Probability = Annotated[float, Limits(least=0, most=1)]


@dataclass(frozen=True)
class Augmentation(ABC):
    """``data.augment``: random changes of training images, drawn for each image in each step.

    An augmentation is one module of :mod:`hydra_peft.augmentations`, named as the augmentation,
    which binds its class to ``AUGMENTATION``; nothing else lists it. Options are fields with
    defaults, set by ``data.augment_options``.

    Drawing and changing are apart: numbers are drawn for a whole batch on the CPU, so that they
    are the same on every device and however many processes share the batch.
    """

    name: ClassVar[str]
    #: whether images change at all
    acts: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_limits(type(self), vars(self), "data.augment_options.")

    @abstractmethod
    def draw(self, count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
        """Return the numbers that decide what happens to each of ``count`` images, ``[count, k]``.

        Args:
            size: height and width of the images in pixels.
            generator: on the CPU; the only source of randomness.
        """

    @abstractmethod
    def apply(self, images: Tensor, draws: Tensor) -> Tensor:
        """Return changed ``images``, uint8 ``[b, 3, height, width]``, which stay as they are.

        Args:
            draws: of these images, on the CPU; see :meth:`draw`.
        """
