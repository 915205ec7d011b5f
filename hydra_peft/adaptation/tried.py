"""Trying out what adapters of users' own classes merge into, which nothing here tests."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn

from hydra_peft.adapters.base import Adapter, NotMergeable
from hydra_peft.adapters.linear_adapter import without_autocast

_PACKAGE = "hydra_peft"


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


@torch.enable_grad()  # as in training: without gradients some compute what they merge into
def _try(adapter: Adapter, plain: nn.Linear) -> None:
    like = plain.weight
    random = torch.Generator().manual_seed(0)
    x = torch.randn(2, 5, plain.in_features, generator=random, device="cpu").to(like)
    with without_autocast(like):
        expected = copy.deepcopy(adapter).eval()(x.requires_grad_()).detach().double()
        off = (plain(x).detach().double() - expected).abs().max()
    size = expected.abs().max()
    if not off <= math.sqrt(torch.finfo(like.dtype).eps) * size:  # not a number is refused too
        raise NotMergeable(
            f"{type(adapter).__name__} computes something else merged (off by "
            f"{100 * float(off / size):.3g}% of the greatest output): its forward() is "
            "not what its folded() or merged() says: define both, or let that raise NotMergeable"
        )


def _check_classes(cls: type[Adapter]) -> None:
    computes, merges = (_definer(cls, name) for name in ("forward", "merged"))
    if computes is not merges and issubclass(computes, merges) and not _is_ours(computes):
        raise NotMergeable(
            f"{computes.__name__} has a forward() of its own and the merged() of "
            f"{merges.__name__}, which does not know it: define merged() too"
        )


def _definer(cls: type, name: str) -> type:
    return next(one for one in cls.__mro__ if name in vars(one))


def _is_ours(cls: type) -> bool:
    return cls.__module__.partition(".")[0] in (_PACKAGE, "torch")
