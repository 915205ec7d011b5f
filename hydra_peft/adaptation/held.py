"""What a tensor held, kept in two numbers, to tell later whether it has moved."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

#: share of a tensor's norm that casts to half precision (bfloat16: 8 digits) may change
_ROUNDED = 2.0**-7
#: the largest value of float16
_LARGEST = 65504.0


@dataclass(frozen=True)
class Held:
    """What a tensor held, in two numbers, which casts to half precision and back hardly change.

    Attributes:
        projected: sum of its elements, each weighted by the cosine of its place.
        norm: Frobenius'; 0 of whole numbers, which no cast changes.
    """

    projected: float
    norm: float

    @classmethod
    def of(cls, tensor: Tensor) -> Held:
        """Return what ``tensor``, of any dtype, holds; values that half precision has not are
        passed over."""
        parts = torch.view_as_real(tensor) if tensor.is_complex() else tensor
        flat = parts.detach().to("cpu", torch.float64).flatten()
        norm = 0.0
        if parts.is_floating_point():
            flat = torch.where(flat.abs() <= _LARGEST, flat, 0.0)
            norm = float(flat.norm())
        weights = torch.arange(1, len(flat) + 1, dtype=torch.float64).cos()
        return cls(float(flat @ weights), norm)

    def has_moved(self, now: Held) -> bool:
        """Whether ``now`` is of other values, beyond the digits that half precision has."""
        return abs(now.projected - self.projected) > _ROUNDED * max(self.norm, now.norm)
