"""From name patterns to the layers they mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import is_parametrized

from hydra_peft.adapters.patterns import matches
from hydra_peft.adapters.surgery import is_intercepted
from hydra_peft.errors import UserError, near, placed
from hydra_peft.plain_text import quoted

Kind = TypeVar("Kind", bound=nn.Module)

#: what weights that are trained beside may be stored in
DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


def find_modules(
    model: nn.Module, targets: Sequence[str], exclude: Sequence[str] = ()
) -> dict[str, nn.Module]:
    """Return the modules of ``model`` that ``targets`` name, of any class, in the model's order.

    ``blocks.*`` would name what lies in the blocks too: of modules that lie in each other only the
    outermost is returned. Otherwise as :func:`find_linear_layers`.

    Raises:
        UserError: no pattern, or one that matches no module; near names are listed.
    """
    found = _find(model, targets, exclude, nn.Module)
    return {n: m for n, m in found.items() if not any(lies_in(n, top) for top in found if top != n)}


def find_linear_layers(
    model: nn.Module, targets: Sequence[str], exclude: Sequence[str] = ()
) -> dict[str, nn.Linear]:
    """Return the ``nn.Linear`` layers of ``model`` that ``targets`` name, in the model's order.

    A layer that is shared comes once, under its first name, whichever of its names matches.

    Args:
        model: any module.
        targets: name patterns, see :func:`hydra_peft.adapters.patterns.matches`; each must match at
            least one linear layer.
        exclude: names of modules (such as the head) whose layers are never adapted.

    Raises:
        UserError: no pattern, or one that matches no linear layer; near names are listed.
    """
    return _find(model, targets, exclude, nn.Linear)


def _find(
    model: nn.Module, targets: Sequence[str], exclude: Sequence[str], kind: type[Kind]
) -> dict[str, Kind]:
    if isinstance(targets, str) or not targets:
        raise UserError(
            f"targets={quoted(targets)} is not a list of name patterns, such as "
            "['attn.proj', 'mlp.fc2']."
        )
    if isinstance(model, nn.Linear):
        raise UserError(
            f"this {type(model).__name__} stands alone, and an adapter takes a layer's place in "
            "what holds it: pass the model that contains it, or nn.Sequential(layer) and "
            "targets=['0']."
        )
    layers = {
        name: module
        for name, module in model.named_modules(remove_duplicate=False)
        if name and isinstance(module, kind) and not any(lies_in(name, top) for top in exclude)
    }
    for pattern in targets:
        if not any(matches(name, pattern) for name in layers):
            raise UserError(_unmatched(model, pattern, list(layers), exclude, kind))
    meant = {id(m) for n, m in layers.items() if any(matches(n, pattern) for pattern in targets)}
    first = {id(module): name for name, module in reversed(layers.items())}
    return {n: m for n, m in layers.items() if id(m) in meant and first[id(m)] == n}


def check_layer(layer: nn.Linear) -> None:
    """Check that ``layer`` is no more and no less than a linear layer of its widths.

    Raises:
        UserError: it is none; the weight is not there yet, quantised, sharded or not of a usual
            dtype; or the layer has hooks, a patched ``forward`` or parametrizations, which an
            adapter in its place would not run.
    """
    if not isinstance(layer, nn.Linear):
        raise UserError(
            f"a {type(layer).__name__} is no torch.nn.Linear, and only that is adapted."
        )
    check_weight(layer, layer.weight, (layer.out_features, layer.in_features))


def check_weight(layer: nn.Module, weight: Tensor, shape: tuple[int, ...] | None = None) -> None:
    """Check that an adapter may stand in the place of ``layer`` with this ``weight``.

    Args:
        shape: that the weight is to have, None for any.

    Raises:
        UserError: as :func:`check_layer`.
    """
    if is_lazy(weight):
        raise UserError("a lazy layer has no weight yet: pass one batch through the model first.")
    if is_intercepted(layer) or is_parametrized(layer):
        raise UserError(
            f"a {type(layer).__name__} with hooks, parametrizations or a forward of its own "
            "(pruning, weight normalisation, logging) would lose them to the adapter in its place: "
            "remove them before inject(), and register hooks on the adapted layer after it."
        )
    shape = tuple(weight.shape) if shape is None else shape
    # Tensors of packed values (torchao's, sharded ones) are wrappers with a protocol of their own.
    if weight.dtype not in DTYPES or weight.shape != shape or hasattr(weight, "__tensor_flatten__"):
        raise UserError(
            f"a {type(layer).__name__} with a {type(weight).__name__} of {weight.dtype} and shape "
            f"{tuple(weight.shape)} in the place of a floating-point weight {shape} (quantised?) "
            "cannot be adapted: inject into the model as it was before that."
        )


def check_bias(layer: nn.Linear, constants: str) -> None:
    """Check that biases of an adapter can be merged into ``layer``.

    Args:
        constants: these biases, in words.

    Raises:
        UserError: it has no bias.
    """
    if layer.bias is None:
        raise UserError(
            f"it has no bias, so {constants} could not be merged into it: set bias=false for this "
            "method."
        )


def check_each(layers: Mapping[str, nn.Module], check: Callable[[Any], None]) -> None:
    """Check every layer before the first is changed, so that a refusal changes nothing.

    Args:
        layers: by name, which the message begins with.
        check: raises UserError for a layer that cannot be adapted.

    Raises:
        UserError: ``check`` refuses one.
    """
    for name, layer in layers.items():
        with placed(f"{name}:"):
            check(layer)


def check_own_forward(layer: nn.Module) -> None:
    """Check that a module in the place of ``layer`` loses nothing that was put on it.

    Raises:
        UserError: it has hooks or a patched ``forward``.
    """
    if is_intercepted(layer):
        raise UserError(
            f"a {type(layer).__name__} with hooks or a forward of its own would lose them to the "
            "adapter in its place: remove them before inject()."
        )


def _ending(name: str) -> str:
    """Return the last two dotted parts of ``name``."""
    return ".".join(name.split(".")[-2:])


def _unmatched(
    model: nn.Module,
    pattern: str,
    layers: list[str],
    exclude: Sequence[str],
    wanted: type[nn.Module],
) -> str:
    others = [name for name, _ in model.named_modules() if name and matches(name, pattern)]
    if others and any(lies_in(others[0], top) for top in exclude):
        hint = f"it matches '{others[0]}', part of the head, which is trained without an adapter"
    elif others:
        kind = type(model.get_submodule(others[0]))
        hint = (
            f"it matches '{others[0]}', a {kind.__module__}.{kind.__qualname__}, and only "
            "torch.nn.Linear can be adapted"
        )
    else:
        # Blocks repeat: the parts after the block number say what there is to choose from.
        endings = list(dict.fromkeys(re.sub(r"^\d+\.", "", _ending(name)) for name in layers))
        close = near(pattern, endings) or near(pattern, layers) or endings[:5]
        hint = f"near names: {', '.join(close)}" if close else "it has none"
    what = "linear layer" if wanted is nn.Linear else "module"
    return f"target '{pattern}' matches no {what} of {type(model).__name__}; {hint}."


def lies_in(name: str, top: str) -> bool:
    """Whether the module ``name`` is ``top`` or a part of it."""
    return name == top or name.startswith(f"{top}.")
