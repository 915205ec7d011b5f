"""Trying out what adapters of users' own classes merge into, which nothing here tests."""

from __future__ import annotations

import copy
import logging
import math

import torch
from torch import Tensor, nn

from hydra_peft.adapters.base import Adapter, NotMergeable
from hydra_peft.adapters.linear_adapter import without_autocast
from hydra_peft.errors import reason_of

_PACKAGE = "hydra_peft"

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
    like, copied = plain.weight, copy.deepcopy(adapter).eval()
    found, reason = None, ""
    for shape in ((2, 5), (2, 2, 3), (3,)):  # of tokens, of a grid of them, of features alone
        try:
            found = _outputs(copied, plain, shape)
            break
        except Exception as error:
            reason = reason_of(error)
    if found is None:
        log.warning(
            "what %s merges into could not be tried out (%s): it is taken at its word",
            type(adapter).__name__,
            reason,
        )
        return
    expected, merged = found
    off, size = (merged - expected).abs().max(), expected.abs().max()
    dtypes = {like.dtype, *(p.dtype for p in adapter.parameters() if p.is_floating_point())}
    digits = math.sqrt(max(torch.finfo(dtype).eps for dtype in dtypes))
    if not off <= digits * size:  # not a number is refused too
        raise NotMergeable(
            f"{type(adapter).__name__} computes something else merged (off by "
            f"{100 * float(off / size):.3g}% of the greatest output): its forward() is "
            "not what its folded() or merged() says: define both, or let that raise NotMergeable"
        )


@torch.enable_grad()  # as in training: without gradients some compute what they merge into
def _outputs(adapter: Adapter, plain: nn.Linear, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Return in float64 what both make of random features, ``[*shape, in_features]``."""
    random, like = torch.Generator().manual_seed(0), plain.weight
    x = torch.randn(*shape, plain.in_features, generator=random, device="cpu").to(like)
    with without_autocast(like):
        computed: Tensor = adapter(x.requires_grad_())
        return computed.detach().double(), plain(x).detach().double()


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
