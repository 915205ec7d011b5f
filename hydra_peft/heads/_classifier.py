"""The module of heads that are one linear layer: what may stand before and behind it."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class UnitNorm(nn.Module):
    """Divides each feature vector by its length (L2)."""

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[batch, width]`` to vectors of length 1."""
        return F.normalize(x, dim=-1)


class Classifier(nn.Module):
    """``scale (W n(x) + b)`` of features x ``[batch, width]``, with n a norm without parameters.

    Args:
        width: of the features.
        outputs: number of class vectors, the rows of W.
        norm: ``none``, ``batch`` (running statistics of each feature, as ELEVATER's toolkit has
            before its head) or ``unit`` (length 1, as CLIP compares images and texts).
        scale: of the outputs; the inverse of a softmax's temperature.
    """

    def __init__(self, width: int, outputs: int, *, norm: str, scale: float) -> None:
        super().__init__()
        norms = {"none": nn.Identity, "unit": UnitNorm}
        self.norm = nn.BatchNorm1d(width, affine=False) if norm == "batch" else norms[norm]()
        self.linear = nn.Linear(width, outputs)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Return outputs, ``[batch, outputs]``."""
        out: Tensor = self.linear(self.norm(x))
        return out if self.scale == 1 else self.scale * out
