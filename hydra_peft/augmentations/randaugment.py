"""RandAugment: some changes out of fourteen for each image (Cubuk et al., arXiv 1909.13719)."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from hydra_peft.augmentations._base import Augmentation, Probability
from hydra_peft.augmentations.flip import draw_flips, flipped
from hydra_peft.limits import Limits

if TYPE_CHECKING:
    import torch
    from torch import Tensor

#: of images uint8 ``[b, 3, height, width]``
Change = Callable[["Tensor"], "Tensor"]
#: changes of torchvision's ``RandAugment``, whose numbers these are; the first are stronger or
#: weaker, either way
SIGNED = (
    *("shear_x", "shear_y", "translate_x", "translate_y", "rotate"),
    *("brightness", "color", "contrast", "sharpness"),
)
OTHERS = ("identity", "posterize", "solarize", "autocontrast", "equalize")
OPERATIONS = (*SIGNED, *OTHERS)
#: magnitudes are counted from 0 to this
STRONGEST = 30


@dataclass(frozen=True)
class RandAugment(Augmentation):
    """Changes of place and of colour, as torchvision's ``RandAugment``, whose defaults these are.

    All changes have one strength, so those images that have the same one are changed together:
    at most 23 calls for each round, however large the batch.

    Attributes:
        number: of changes, one after the other, each drawn out of all fourteen.
        magnitude: their strength, from 0 to 30.
        flip: how probable it is that an image is mirrored.
    """

    name: ClassVar[str] = "randaugment"
    number: Annotated[int, Limits(least=1, most=14)] = 2
    magnitude: Annotated[int, Limits(least=0, most=STRONGEST)] = 9
    flip: Probability = 0.0

    def draw(self, count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:  # noqa: ARG002
        """Return which changes with which sign, then 1 where mirrored: int64
        ``[count, 2 * number + 1]``."""
        import torch

        shape = (count, self.number)
        chosen = torch.randint(len(OPERATIONS), shape, generator=generator)
        signs = 2 * torch.randint(2, shape, generator=generator) - 1
        signs[chosen >= len(SIGNED)] = 1
        flips = draw_flips(count, self.flip, generator)
        return torch.cat([chosen, signs, flips[:, None]], dim=1)

    def apply(self, images: Tensor, draws: Tensor) -> Tensor:
        """Return changed ``images``."""
        images = flipped(images, draws[:, -1])
        for step in range(self.number):
            groups: dict[tuple[int, int], list[int]] = defaultdict(list)
            pairs = draws[:, [step, self.number + step]].tolist()
            for row, (operation, sign) in enumerate(pairs):
                groups[operation, sign].append(row)
            images = self._round(images, groups)
        return images

    def _round(self, images: Tensor, groups: dict[tuple[int, int], list[int]]) -> Tensor:
        import torch

        changed = torch.empty_like(images)
        for (operation, sign), rows in groups.items():
            where = torch.tensor(rows, device=images.device)
            change = _change(OPERATIONS[operation], sign, self.magnitude, images.shape[2:])
            changed[where] = change(images[where])
        return changed


def _change(operation: str, sign: int, magnitude: int, size: Sequence[int]) -> Change:
    """Return the change called ``operation`` of images uint8 ``[b, 3, height, width]``.

    Angles, pixels and factors have the bits of those of torchvision's RandAugment; what comes from
    outside of an image is black.

    Args:
        sign: -1 or 1.
        magnitude: from 0 to :data:`STRONGEST`.
        size: height and width of the images.
    """
    import torch
    from torchvision.transforms.v2 import functional as F

    height, width = size

    def share(most: float) -> float:
        return sign * float(torch.linspace(0.0, most, STRONGEST + 1)[magnitude])

    def affine(x: Tensor, **changes: Any) -> Tensor:
        usual: dict[str, Any] = {"angle": 0.0, "translate": [0, 0], "scale": 1.0}
        return F.affine(x, **{**usual, "shear": [0.0, 0.0], **changes})

    shear = math.degrees(math.atan(share(0.3)))
    across, down = (int(share(150.0 / 331.0 * side)) for side in (width, height))
    factor = 1.0 + share(0.9)
    bound = 255 * float(torch.linspace(1.0, 0.0, STRONGEST + 1)[magnitude])
    changes: dict[str, Change] = {
        "shear_x": lambda x: affine(x, shear=[shear, 0.0], center=[0, 0]),
        "shear_y": lambda x: affine(x, shear=[0.0, shear], center=[0, 0]),
        "translate_x": lambda x: affine(x, translate=[across, 0]),
        "translate_y": lambda x: affine(x, translate=[0, down]),
        "rotate": lambda x: F.rotate(x, angle=share(30.0)),
        "brightness": lambda x: F.adjust_brightness(x, factor),
        "color": lambda x: F.adjust_saturation(x, factor),
        "contrast": lambda x: F.adjust_contrast(x, factor),
        "sharpness": lambda x: F.adjust_sharpness(x, factor),
        "identity": lambda x: x,
        "posterize": lambda x: F.posterize(x, bits=8 - round(4 * magnitude / STRONGEST)),
        "solarize": lambda x: F.solarize(x, threshold=bound),
        "autocontrast": F.autocontrast,
        "equalize": F.equalize,
    }
    return changes[operation]


AUGMENTATION = RandAugment
