"""Random crops, resized to the images' size (Szegedy et al., arXiv 1409.4842)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, ClassVar

from hydra_peft.augmentations._base import Augmentation, Probability
from hydra_peft.augmentations.flip import draw_flips, flipped
from hydra_peft.errors import UserError
from hydra_peft.limits import Limits

if TYPE_CHECKING:
    import torch
    from torch import Tensor

#: of an image's area
Area = Annotated[float, Limits(above=0, most=1)]
#: width over height; the bounds are what nobody means
Ratio = Annotated[float, Limits(least=0.01, most=100)]
#: crops that are tried for an image before its middle is taken, as in torchvision
_TRIES = 10


@dataclass(frozen=True)
class Crop(Augmentation):
    """A part of each image in the place of the image, as torchvision's ``RandomResizedCrop``.

    Its defaults are those here. A crop is never larger than its image, so resizing enlarges and
    smooths nothing away; it is bilinear.

    Attributes:
        scale: least and greatest area of a crop, as share of the image's.
        ratio: least and greatest width over height; drawn by logarithm.
        flip: how probable it is that a crop is mirrored; torchvision's and timm's recipes for
            photographs have 0.5.
    """

    name: ClassVar[str] = "crop"
    scale: list[Area] = field(default_factory=lambda: [0.08, 1.0])
    ratio: list[Ratio] = field(default_factory=lambda: [3 / 4, 4 / 3])
    flip: Probability = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for key, pair in {"scale": self.scale, "ratio": self.ratio}.items():
            if len(pair) != 2 or pair[0] > pair[1]:
                raise UserError(
                    f"data.augment_options.{key}={pair} is not allowed: it must be the least and "
                    "the greatest, such as [0.5,1]."
                )

    def draw(self, count: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
        """Return top, left, height and width in pixels, and 1 where mirrored: int64
        ``[count, 5]``."""
        import torch

        height, width = size
        area = _uniform((count, _TRIES), self.scale, generator) * height * width
        logarithms = [math.log(bound) for bound in self.ratio]
        ratio = _uniform((count, _TRIES), logarithms, generator).exp()
        wide, high = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
        fits = (wide > 0) & (wide <= width) & (high > 0) & (high <= height)
        first = fits.int().argmax(dim=1, keepdim=True)
        wide, high = wide.gather(1, first)[:, 0], high.gather(1, first)[:, 0]
        places = torch.rand(2, count, generator=generator, dtype=torch.float64)
        top = (places[0] * (height - high + 1)).floor()
        left = (places[1] * (width - wide + 1)).floor()
        boxes = torch.stack([top, left, high, wide], dim=1)
        boxes[~fits.any(dim=1)] = torch.tensor(self._middle(height, width), dtype=torch.float64)
        flips = draw_flips(count, self.flip, generator)
        return torch.cat([boxes.long(), flips[:, None]], dim=1)

    def apply(self, images: Tensor, draws: Tensor) -> Tensor:
        """Return the crops of ``images`` in their size."""
        return flipped(_resized_crops(images, draws[:, :4]), draws[:, 4])

    def _middle(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Return the largest middle part that has an allowed ratio: top, left, height, width."""
        least, most = self.ratio
        high = min(height, round(width / least))
        wide = min(width, round(height * most))
        return (height - high) // 2, (width - wide) // 2, high, wide


def _uniform(shape: tuple[int, int], bounds: list[float], generator: torch.Generator) -> Tensor:
    import torch

    numbers = torch.rand(*shape, generator=generator, dtype=torch.float64)
    return bounds[0] + (bounds[1] - bounds[0]) * numbers


def _resized_crops(images: Tensor, boxes: Tensor) -> Tensor:
    """Return the part of each image in its box, enlarged bilinearly to the image's size.

    All at once, where resizing one after another would be a call for each. What lies outside of a
    box is never read.

    Args:
        images: uint8 ``[b, 3, height, width]``.
        boxes: top, left, height and width in pixels, int64 ``[b, 4]``.
    """
    import torch
    from torch.nn import functional as F

    height, width = images.shape[2:]
    top, left, high, wide = boxes.to(images.device, torch.float32).unbind(1)
    rows = _sources(height, top, high)[:, :, None].expand(-1, -1, width)
    columns = _sources(width, left, wide)[:, None, :].expand(-1, height, -1)
    # grid_sample's coordinates: -1 and 1 are the outer edges of the first and last pixels.
    grid = torch.stack([(2 * columns + 1) / width - 1, (2 * rows + 1) / height - 1], dim=3)
    pixels = F.grid_sample(
        images.float(), grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return pixels.round_().clamp_(0, 255).to(torch.uint8)


def _sources(count: int, start: Tensor, length: Tensor) -> Tensor:
    """Return where in an image each of ``count`` pixels of its crop lies, float32 ``[b, count]``.

    Args:
        start, length: of the crop along one axis, ``[b]``.
    """
    import torch

    centres = (torch.arange(count, device=start.device) + 0.5) / count
    within = (centres * length[:, None] - 0.5).clamp_(min=0)
    return start[:, None] + torch.minimum(within, length[:, None] - 1)


AUGMENTATION = Crop
