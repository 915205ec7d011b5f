"""Plain copies of frozen layers with other weights: what adapters merge into."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from hydra_peft.adapters.base import NotMergeable

#: layers that are linear in their weight and bias: fully connected ones, convolutions, norms
LINEAR_IN_WEIGHTS = (nn.Linear, nn.Conv2d, nn.LayerNorm, nn.BatchNorm2d, nn.GroupNorm)


def channel_axis(layer: nn.Module) -> int:
    """Return the axis of the output of ``layer`` that its bias runs along: the last one, or 1.

    Convolutions, batch and group norms, and norms of images (timm's ``LayerNorm2d``) have it at 1.
    """
    images = isinstance(layer, nn.Conv2d | nn.BatchNorm2d | nn.GroupNorm)
    return 1 if images or type(layer).__name__.endswith("2d") else -1


def with_weights(layer: nn.Module, weight: Tensor, bias: Tensor | None) -> nn.Module:
    """Return a frozen copy of ``layer`` with these values, rounded once to its own dtypes.

    Args:
        layer: one with ``weight`` and ``bias``, see :data:`LINEAR_IN_WEIGHTS`.
        weight: in the shape of its weight, in float64.
        bias: likewise; None where it has none and needs none.

    Raises:
        NotMergeable: ``layer`` has no bias, and needs one.
    """
    old: dict[str, Tensor | None] = {"weight": layer.weight, "bias": layer.bias}  # type: ignore[dict-item]
    if bias is not None and old["bias"] is None:
        raise NotMergeable(f"a {type(layer).__name__} without bias has no place for the constant")
    # Values are replaced, so they are not copied first.
    memo = {id(tensor): None for tensor in old.values() if tensor is not None}
    plain = copy.deepcopy(layer, memo)
    for name, value in (("weight", weight), ("bias", bias)):
        before = old[name]
        if value is not None and before is not None:
            new = nn.Parameter(value.to(before.dtype).detach(), requires_grad=False)
            plain.register_parameter(name, new)
    return plain


def in_float64(tensor: Tensor | None) -> Tensor | None:
    """Return ``tensor`` in float64, in which updates are computed before they are rounded."""
    return None if tensor is None else tensor.detach().to(torch.float64)
