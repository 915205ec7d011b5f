"""Plain copies of frozen layers with other weights: what adapters merge into."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hydra_peft.adapters.base import NotMergeable

log = logging.getLogger("hydra_peft")

#: layers that are linear in their weight and bias: fully connected ones, convolutions, norms
LINEAR_IN_WEIGHTS = (
    *(nn.Linear, nn.Conv2d),
    *(nn.LayerNorm, nn.BatchNorm2d, nn.SyncBatchNorm, nn.GroupNorm),
)

#: the same, with those that are adapted only where they are named
SCALABLE = (*LINEAR_IN_WEIGHTS, nn.BatchNorm1d)


def is_plain(layer: nn.Module) -> bool:
    """Whether ``layer`` computes what torch's class of its kind does, and nothing else."""
    own, torchs = type(layer), _kind(layer)
    return own.forward is torchs.forward and (
        getattr(own, "_conv_forward", None) is getattr(torchs, "_conv_forward", None)
    )


def computes_otherwise(layer: nn.Module) -> str:
    """Return the sentence on a layer whose class has a forward that no weights make up for."""
    kind, torchs = type(layer), _kind(layer)
    plain = "layer" if torchs is nn.Module else f"nn.{torchs.__name__}"
    return f"a {kind.__module__}.{kind.__qualname__} computes something else than a plain {plain}"


def folding_axis(layer: nn.Module) -> int | None:
    """Return the axis of the output of ``layer`` along which a factor and a constant behind it are
    the same as a factor of its weight and bias and a constant in its bias.

    Classes with a forward of their own (padding, another order of axes, but also standardised
    weights or an activation) are tried out: on a copy with drawn weights, far from torch's
    generator.

    Args:
        layer: one of :data:`SCALABLE`.

    Returns:
        The axis, counted from the end where it is negative; None where there is none.
    """
    if not isinstance(layer, SCALABLE):
        return None
    if is_plain(layer):
        return _usual_axis(layer)
    axes = (-3, -1) if isinstance(layer, nn.LayerNorm) else (_usual_axis(layer),)
    return next((axis for axis in axes if _folds(layer, axis)), None)


def channel_axis(layer: nn.Module) -> int:
    """Return the axis of the output of ``layer`` that its bias runs along, also where nothing can
    be folded into it."""
    axis = folding_axis(layer)
    if axis is not None:
        return axis
    images = isinstance(layer, nn.LayerNorm) and type(layer).__name__.endswith("2d")
    return -3 if images else _usual_axis(layer)


def scaled_along(axis: int, out: Tensor, gain: Tensor, offset: Tensor | None) -> Tensor:
    """Return ``gain * out + offset`` along ``axis`` of ``out``, see :func:`folding_axis`."""
    # torch.fx, which traces this, has no numbers of dimensions to ask for.
    if axis > 0:
        return scaled_along(-1, out.transpose(axis, -1), gain, offset).transpose(axis, -1)
    behind = (..., *(None,) * (-1 - axis))
    scaled = out * gain[behind]
    return scaled if offset is None else scaled + offset[behind]


def why_not_folded(layer: nn.Module, *, constant: bool) -> str | None:
    """Return why a factor behind ``layer`` cannot be written into its weights; None if it can.

    Args:
        layer: one of :data:`SCALABLE`.
        constant: whether there is a constant too.
    """
    if folding_axis(layer) is None:
        return computes_otherwise(layer)
    if constant and layer.bias is None:
        return f"a {type(layer).__name__} without bias has no place for the constant"
    return None


def tell_of_merging(
    method: str, reasons: Mapping[str, str | None], remedy: str = "leave such layers out of targets"
) -> None:
    """Log a warning before training where what it learns cannot be merged later.

    Args:
        method: its name.
        reasons: by layer, why not; None where it can be.
        remedy: what to do.
    """
    found = {name: reason for name, reason in reasons.items() if reason is not None}
    for name, reason in list(found.items())[:1]:
        log.warning(
            "method '%s' could not be merged into %d of %d layers, such as '%s': %s; to merge it, "
            "%s",
            *(method, len(found), len(reasons), name, reason, remedy),
        )


def with_weights(layer: nn.Module, weight: Tensor, bias: Tensor | None) -> nn.Module:
    """Return a frozen copy of ``layer`` with these values, rounded once to its own dtypes.

    Args:
        layer: one with ``weight`` and ``bias``, see :data:`SCALABLE`.
        weight: in the shape of its weight, in float64.
        bias: likewise; None where it has none and needs none.

    Raises:
        NotMergeable: ``layer`` has no bias, and needs one, or a forward that they do not make up
            for.
    """
    if reason := why_not_folded(layer, constant=bias is not None):
        raise NotMergeable(reason)
    old: dict[str, Tensor | None] = {"weight": layer.weight, "bias": layer.bias}  # type: ignore[dict-item]
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


def _kind(layer: nn.Module) -> type[nn.Module]:
    """Return torch's class that ``layer`` is one of; that of all modules where it is none."""
    return next((kind for kind in SCALABLE if isinstance(layer, kind)), nn.Module)


def _usual_axis(layer: nn.Module) -> int:
    if isinstance(layer, nn.Linear | nn.LayerNorm):
        return -1
    return -3 if isinstance(layer, nn.Conv2d | nn.BatchNorm2d) else 1


def _folds(layer: nn.Module, axis: int) -> bool:
    """Whether a drawn factor and constant behind ``layer`` are those of its weight and bias."""
    random = torch.Generator("cpu").manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random, dtype=torch.float64, device="cpu")

    try:
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            like: Any = copy.deepcopy(layer).to_empty(device="cpu").double().eval()
            for parameter in like.parameters():
                parameter.copy_(drawn(*parameter.shape))
            for buffer in like.buffers():  # variances are positive
                buffer.copy_(drawn(*buffer.shape).abs() + 0.5)
            x = drawn(*_sample(layer, axis))
            x[0] *= 100  # what is cut off shows
            before = like(x.clone())
            weight, bias = like.weight, like.bias
            gain = drawn(*weight.shape[:1])
            offset = None if bias is None else drawn(*bias.shape)
            expected = scaled_along(axis, before, gain, offset)
            weight.mul_(gain.view(-1, *(1,) * (weight.dim() - 1)))
            if bias is not None:
                bias.mul_(gain).add_(offset)
            return torch.allclose(like(x.clone()), expected, rtol=1e-3, atol=1e-3)
    except Exception:  # it wants other inputs, say: what it computes is not known
        return False


def _sample(layer: nn.Module, axis: int) -> tuple[int, ...]:
    """Return the shape of an input of ``layer`` whose channels lie at ``axis``."""
    if isinstance(layer, nn.Linear):
        return 2, 3, layer.in_features
    if isinstance(layer, nn.Conv2d):
        reach = zip(layer.kernel_size, layer.dilation, strict=True)
        return 2, layer.in_channels, *(2 * kernel * dilation for kernel, dilation in reach)
    width = len(layer.weight)  # type: ignore[arg-type]
    if isinstance(layer, nn.BatchNorm1d):
        return 2, width
    sides = [side for side in (2, 3, 4) if side != width][:2]  # else axes were mistaken
    return (2, *sides, width) if axis == -1 else (2, width, *sides)
