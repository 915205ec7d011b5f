"""What a tensor held, kept in a sample of its values, to tell later whether it has moved."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

#: values kept of one tensor: running statistics and biases as a whole, of a matrix every so many
_KEPT = 1024
#: relative difference that averaging leaves in float32, some units in the last place
_ROUNDED = 3e-6


@dataclass(frozen=True)
class Held:
    """Values of a tensor, spread evenly over it, and its shape.

    Training moves nearly all values of what it trains: a sample tells it from what stays.

    Attributes:
        shape: of the tensor.
        dtype: of the tensor and of ``sample``.
        sample: bytes of at most 1,024 values; empty where there are none, as on the meta device, or
            where torch cannot pick any, as of uint4.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    sample: bytes

    @classmethod
    def of(cls, tensor: Tensor) -> Held:
        """Return what ``tensor``, of any dtype and on any device, holds."""
        return cls(tuple(tensor.shape), tensor.dtype, _sample(tensor))

    def is_of(self, tensor: Tensor) -> bool:
        """Whether ``tensor`` holds this, or this as cast to the dtype of ``tensor``."""
        now = Held.of(tensor)
        if now.shape != self.shape or not (self.sample and now.sample):
            return now.shape == self.shape
        return _bytes(self.values().to(now.dtype)) == now.sample

    def is_cast_in(self, tensor: Tensor) -> bool:
        """Whether ``tensor`` holds this after any casts, its digits rounded or not."""
        now = Held.of(tensor)
        if now.shape != self.shape or not (self.sample and now.sample):
            return now.shape == self.shape
        return any(_bytes(then.to(now.dtype)) == now.sample for then in _rounded(self.values()))

    def is_near(self, tensor: Tensor) -> bool:
        """Whether ``tensor`` holds this but for rounding: as an average of equal values has it, or
        casts leave it. Not so where neither has values to tell it by."""
        now = Held.of(tensor)
        if now.shape != self.shape or not (self.sample and now.sample):
            return False
        then, values = self.values(), now.values()
        if not then.is_floating_point():
            return False
        near = torch.allclose(values.double(), then.double(), rtol=_ROUNDED, atol=0.0)
        return near or self.is_cast_in(tensor)

    def has_lost(self, tensor: Tensor) -> bool:
        """Whether ``tensor`` lacks digits of this, or holds others."""
        return not self.is_of(tensor.to(self.dtype))

    def values(self) -> Tensor:
        """Return the sample: at most 1,024 values, in the dtype of the tensor, on the CPU."""
        return torch.frombuffer(bytearray(self.sample), dtype=self.dtype)


def _rounded(values: Tensor) -> Iterator[Tensor]:
    """Yield ``values`` with the digits that some casts leave of them.

    More casts than these, to whatever floating-point type, leave no others.
    """
    yield values
    for wide in (values, values.float()) if values.is_floating_point() else ():
        yield wide
        for first, second in itertools.permutations((torch.bfloat16, torch.float16)):
            yield wide.to(first)
            yield wide.to(first).to(wide.dtype).to(second)


def _sample(tensor: Tensor) -> bytes:
    if tensor.is_meta:
        return b""
    flat = tensor.detach().flatten()
    try:
        if len(flat) > _KEPT:
            places = torch.linspace(0, len(flat) - 1, _KEPT, dtype=torch.float64, device="cpu")
            flat = flat[places.long().to(flat.device)]
        return _bytes(flat)
    except (RuntimeError, TypeError):  # dtypes that torch stores and does not compute with
        return b""


def _bytes(flat: Tensor) -> bytes:
    return bytes(flat.cpu().contiguous().view(torch.uint8).numpy())
