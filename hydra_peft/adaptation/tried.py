"""Trying out what adapters of users' own classes merge into, which nothing here tests."""

from __future__ import annotations

import logging
import math
from contextlib import AbstractContextManager, suppress

import torch
from torch import Tensor, nn

from hydra_peft.adapters.base import Adapter, NotMergeable
from hydra_peft.adapters.copied import copy_of
from hydra_peft.adapters.linear_adapter import without_autocast
from hydra_peft.errors import reason_of

_PACKAGE = "hydra_peft"
#: of features that adapters are tried on: of tokens, of a grid of them, alone
_SHAPES = ((2, 5), (2, 2, 3), (3,))

log = logging.getLogger(_PACKAGE)


def check_merged(adapter: Adapter, plain: nn.Module) -> None:
    """Check that ``plain`` computes what ``adapter`` does, where classes of others are part of it.

    A linear layer is given random rows. Of others, whose input is unknown, the class that says what
    they merge into has to be the one that computes it, or one that builds on it.

    Args:
        adapter: as it was before merging; it is not changed.
        plain: what it merged into.

    Raises:
        NotMergeable: it does not.
    """
    if all(_is_ours(type(part)) for part in adapter.modules()):
        return
    if isinstance(plain, nn.Linear):
        _try(adapter, plain)
        return
    for part in adapter.modules():
        if isinstance(part, Adapter):
            _check_classes(type(part))


def _try(adapter: Adapter, plain: nn.Linear) -> None:
    reason = ""
    for wide in (True, False):  # in float64 nothing is rounded that could hide a difference
        try:
            copied = copy_of(adapter).eval()
            computed, merged, eps = _outputs(copied, copied.double().merged() if wide else plain)
            break
        except Exception as error:
            reason = reason_of(error)
    else:
        log.warning(
            "what %s merges into could not be tried out (%s): it is taken at its word",
            type(adapter).__name__,
            reason,
        )
        return
    off, size = (merged - computed).abs().max(), computed.abs().max()
    if not off <= math.sqrt(eps) * size:  # not a number is refused too
        raise NotMergeable(
            f"{type(adapter).__name__} computes something else merged (off by "
            f"{100 * float(off / size):.3g}% of the greatest output): its forward() is "
            "not what its folded() or merged() says: define both, or let that raise NotMergeable"
        )


def _outputs(adapter: Adapter, plain: nn.Module) -> tuple[Tensor, Tensor, float]:
    """Return in float64 what both make of random features, and eps of the fewest digits in them.

    Raises:
        Exception: what ``adapter`` raises for the last of the shapes; it takes none of them.
    """
    for shape in _SHAPES[:-1]:
        with suppress(Exception):
            return _outputs_for(shape, adapter, plain)
    return _outputs_for(_SHAPES[-1], adapter, plain)


@torch.enable_grad()  # as in training: without gradients some compute what they merge into
def _outputs_for(
    shape: tuple[int, ...], adapter: Adapter, plain: nn.Module
) -> tuple[Tensor, Tensor, float]:
    like, random = next(plain.parameters()), torch.Generator().manual_seed(0)
    floats = {p.dtype for p in adapter.parameters() if p.is_floating_point()}
    x = torch.randn(*shape, like.shape[1], generator=random, device="cpu").to(like)
    with without_autocast(like), _own_random_state(like):
        computed: Tensor = adapter(x.requires_grad_())
        merged: Tensor = plain(x)
    # A forward may compute in float32 whatever its features are.
    least = torch.float32 if like.dtype == torch.float64 else _products_in_float32()
    eps = max(torch.finfo(dtype).eps for dtype in (like.dtype, least, *floats))
    return computed.detach().double(), merged.detach().double(), eps


def _products_in_float32() -> torch.dtype:
    """Return a dtype with as many digits as products in float32 have; TF32 has those of float16."""
    digits = {"high": torch.float16, "medium": torch.bfloat16}
    return digits.get(torch.get_float32_matmul_precision(), torch.float32)


def _own_random_state(like: Tensor) -> AbstractContextManager[None]:
    """Return a context that leaves the random numbers of the CPU and of a tensor's device alone."""
    kind = like.device.type
    return torch.random.fork_rng([] if kind == "cpu" else [like.device], device_type=kind)


def _check_classes(cls: type[Adapter]) -> None:
    computes, merges = (_definer(cls, name) for name in ("forward", "merged"))
    if cls.__mro__.index(computes) < cls.__mro__.index(merges) and not _is_ours(computes):
        raise NotMergeable(
            f"{computes.__name__} has a forward() of its own and the merged() of "
            f"{merges.__name__}, which does not know it: define merged() too"
        )


def _definer(cls: type, name: str) -> type:
    return next(one for one in cls.__mro__ if name in vars(one))


def _is_ours(cls: type) -> bool:
    return cls.__module__.partition(".")[0] in (_PACKAGE, "torch")
