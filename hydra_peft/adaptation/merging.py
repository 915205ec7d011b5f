"""Writing adapters into the frozen weights, and taking them out again."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from hydra_peft.adaptation.injection import adaptation
from hydra_peft.adapters.base import Adapter
from hydra_peft.adapters.surgery import replace_module
from hydra_peft.errors import UserError

_ATTRIBUTE = "_hydra_peft_adapter"


def adapters(model: nn.Module, *, every_name: bool = False) -> Iterator[tuple[str, Adapter]]:
    """Yield ``(layer name, adapter)`` of every adapter of ``model``, also of merged ones.

    With ``every_name`` a layer that is shared under several names comes once for each.
    """
    for name, module in model.named_modules(remove_duplicate=not every_name):
        if isinstance(module, Adapter):
            yield name, module
        elif isinstance(hidden := getattr(module, _ATTRIBUTE, None), Adapter):
            yield name, hidden


def merge(model: nn.Module) -> list[str]:
    """Replace every adapter of ``model``, in place, by the plain module it equals.

    The merged model has the untouched model's classes and state-dict keys. Each plain module
    remembers its adapter outside the state dict, for :func:`unmerge`.

    Returns:
        Names of the merged layers.

    Raises:
        UserError: nothing to merge, an adapter that cannot be merged, or a merged weight that is
            not finite. The model is then as it was.
    """
    done = adaptation(model)
    found = [(name, m) for name, m in model.named_modules() if isinstance(m, Adapter)]
    if done.layers and not found:
        raise UserError("this model is merged already: unmerge() it first.")
    merged: list[tuple[str, Adapter, nn.Module]] = []
    for name, adapter in found:
        try:
            plain = adapter.merged()
        except TypeError as error:
            raise UserError(f"{name}: {error}.") from None
        if not all(bool(torch.isfinite(tensor).all()) for tensor in plain.parameters()):
            raise UserError(
                f"merging {name} gives values that are not finite: its branches have diverged or "
                f"overflow {next(plain.parameters()).dtype}; nothing was merged."
            )
        merged.append((name, adapter, plain))
    for _, adapter, plain in merged:
        # Not a submodule: it must stay out of the state dict.
        object.__setattr__(plain, _ATTRIBUTE, adapter)
        replace_module(model, adapter, plain)
    return [name for name, _, _ in merged]


def unmerge(model: nn.Module) -> list[str]:
    """Undo :func:`merge` in place; the frozen weights come back bit for bit, from a kept copy.

    Returns:
        Names of the layers that carry an adapter again.

    Raises:
        UserError: ``model`` is not merged.
    """
    found = [
        (name, module, hidden)
        for name, module in model.named_modules()
        if isinstance(hidden := getattr(module, _ATTRIBUTE, None), Adapter)
    ]
    if not found:
        raise UserError("this model is not merged, so there is nothing to unmerge.")
    for _, plain, adapter in found:
        # The hidden adapter does not follow model.to(device) and model.train() by itself.
        adapter.to(next(plain.parameters()).device).train(plain.training)
        replace_module(model, plain, adapter)
    return [name for name, _, _ in found]
