"""No augmentation: images are trained on as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hydra_peft.augmentations._base import Augmentation

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Unchanged(Augmentation):
    """Images as they are, which every protocol has."""

    name: ClassVar[str] = "none"
    acts: ClassVar[bool] = False

    def draw(self, count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """Draw nothing: return ``[count, 0]``."""
        import torch

        return torch.empty(count, 0)

    def apply(self, images: Tensor, draws: Tensor) -> Tensor:  # noqa: ARG002
        """Return ``images``."""
        return images


AUGMENTATION = Unchanged
