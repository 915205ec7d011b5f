"""What merging wrote into a layer, remembered to tell later whether the layer still holds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hydra_peft.adaptation.held import Held
from hydra_peft.adapters.base import Adapter

#: floating-point types of weights, those of fewest digits first
DTYPES = (torch.bfloat16, torch.float16, torch.float32, torch.float64)


@dataclass(frozen=True)
class Written:
    """A plain module as :func:`hydra_peft.merge` wrote it.

    Attributes:
        dtype: of the plain module, as ``device``.
        values: samples of its parameters.
        frozen: samples of what they were computed from, the parameters of the adapter's ``base``.
    """

    dtype: torch.dtype
    device: torch.device
    values: Mapping[str, Held]
    frozen: Mapping[str, Held]

    @classmethod
    def of(cls, plain: nn.Module, adapter: Adapter) -> Written:
        """Return what ``plain``, which ``adapter`` was merged into, holds."""
        like = next(plain.parameters())
        return cls(like.dtype, like.device, _samples(plain), _samples(adapter.base))

    def was_cast(self, plain: nn.Module) -> bool:
        """Whether ``plain`` was cast or moved since.

        The adapter's frozen weight says nothing of it: one that is tied to a part of the model
        which stays as it is follows that in place.
        """
        like = next(plain.parameters())
        return (like.dtype, like.device) != (self.dtype, self.device)

    def is_in(self, plain: nn.Module, adapter: Adapter) -> bool:
        """Whether ``plain`` still holds this, what ``adapter`` merges into, but for casts."""
        frozen, values = _pairs(self.frozen, adapter.base), _pairs(self.values, plain)
        if not all(held.is_cast_in(tensor) for held, tensor in values):
            return False
        merged = adapter.merged()
        if _equals(plain, merged):
            return True
        # A frozen weight that is tied elsewhere was cast in place with that, and what is merged
        # from it now has fewer digits than what was written.
        rounded = any(held.has_lost(tensor) for held, tensor in frozen)
        followed = rounded and all(held.is_cast_in(tensor) for held, tensor in frozen)
        return followed and _equals(plain, merged, of_rounded=True)


def _samples(module: nn.Module) -> dict[str, Held]:
    return {name: Held.of(parameter) for name, parameter in module.named_parameters()}


def _pairs(samples: Mapping[str, Held], module: nn.Module) -> list[tuple[Held, Tensor]]:
    return [(samples[name], p) for name, p in module.named_parameters() if name in samples]


def _equals(plain: nn.Module, merged: nn.Module, *, of_rounded: bool = False) -> bool:
    now, then = dict(plain.named_parameters()), dict(merged.named_parameters())
    return now.keys() == then.keys() and all(
        _is_cast(now[name], tensor, of_rounded=of_rounded) for name, tensor in then.items()
    )


@torch.no_grad()
def _is_cast(tensor: Tensor, of: Tensor, *, of_rounded: bool = False) -> bool:
    """Whether ``tensor`` is ``of`` after casts: equal in as many digits as its values have.

    So a round trip through half precision passes, and a change of float32 weights by more than
    one unit in the last place does not.

    Args:
        of_rounded: whether ``of`` was computed from frozen weights that were rounded, perhaps to
            bfloat16: its last digits count as those of the greatest of them.
    """
    if tensor.is_meta or of.is_meta or tensor.shape != of.shape:
        return tensor.shape == of.shape
    held = [torch.finfo(t) for t in DTYPES if torch.equal(tensor.to(t).to(tensor.dtype), tensor)]
    if not held:  # not a number
        return False
    eps = torch.finfo(torch.bfloat16 if of_rounded else of.dtype).eps
    eps = max(held[0].eps, eps)
    least = max(limits.smallest_normal for limits in (*held, torch.finfo(of.dtype)))
    wide, expected = tensor.cpu().double(), of.cpu().double()
    size = 4 * expected.abs().max() if of_rounded else expected.abs()
    return bool(((wide - expected).abs() <= eps * (size + least)).all())
