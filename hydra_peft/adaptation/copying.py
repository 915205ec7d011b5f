"""Copying saved tensors into an adapted model."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from hydra_peft.adaptation.carried import adapters, tensors_by_name
from hydra_peft.adaptation.heads import belongs_to
from hydra_peft.adaptation.record import adaptation
from hydra_peft.errors import UserError

log = logging.getLogger("hydra_peft")


@torch.no_grad()
def copy_tensors(model: nn.Module, tensors: Mapping[str, Tensor], source: Path) -> None:
    """Copy ``tensors`` into those of ``model``, without wrappers, that have their names and shapes.

    Parameters of adapters that compute in a dtype of their own take that of ``tensors`` where it
    is wider (float32 on a backbone in bfloat16, as peft trains). Elsewhere values are rounded to
    the model's dtypes; if that changes them a warning says so.

    Args:
        source: the file they are of, for messages.

    Raises:
        UserError: see :func:`check_ties`. Nothing is copied then.
    """
    own, found = tensors_by_name(model), [adapter for _, adapter in adapters(model)]
    check_ties(own, tensors, source)
    alone = all(adapter.own_dtype for adapter in found)  # others, around them, would mix dtypes
    free = {id(p) for adapter in found if alone for _, p in adapter.adapter_parameters()}
    rounded: list[str] = []
    widest: torch.dtype | None = None
    for name, tensor in tensors.items():
        mine = own[name]
        if id(mine) in free and torch.promote_types(mine.dtype, tensor.dtype) != mine.dtype:
            mine.data = tensor.to(mine.device)
            widest = torch.promote_types(widest or tensor.dtype, tensor.dtype)
            continue
        mine.copy_(tensor)
        if mine.dtype != tensor.dtype and not torch.equal(mine.to(tensor), tensor):
            rounded.append(name)
    if widest is not None:  # those that a file of peft's has not, too
        for adapter in found:
            for _, parameter in adapter.adapter_parameters():
                wide = torch.promote_types(parameter.dtype, widest)
                parameter.data = parameter.data.to(wide)
    if rounded:
        name = rounded[0]
        was, now = (str(t.dtype).removeprefix("torch.") for t in (tensors[name], own[name]))
        log.warning(
            "%d of %d tensors in %s were rounded to the dtype of this model, such as '%s' from %s "
            "to %s: to keep them, convert %s first",
            *(len(rounded), len(tensors), source, name, was, now, _part(model, name, was)),
        )


def _part(model: nn.Module, name: str, dtype: str) -> str:
    """Return what is to be converted so that the tensor ``name`` keeps its ``dtype``."""
    head = next((top for top in adaptation(model).head if belongs_to(name, [top])), None)
    if head is None:
        return f"the model (model.to(torch.{dtype}), and load with check_weights=False)"
    return f"its head (model.get_submodule('{head}').to(torch.{dtype}))"


def check_ties(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor], source: Path) -> None:
    """Check that ``tensors`` are alike where their names are of one tensor of the model.

    Args:
        own: the model's by name, of each tied one its object.
        tensors: to be copied into them.
        source: the file they are of.

    Raises:
        UserError: one would overwrite another.
    """
    first: dict[int, str] = {}
    for name in tensors.keys() & own.keys():
        other = first.setdefault(id(own[name]), name)
        if not torch.equal(tensors[name], tensors[other]):
            one, two = sorted((name, other))
            raise UserError(
                f"{source} has other values for '{one}' than for '{two}', which are one tensor in "
                "this model: build it with two of them (transformers: tie_word_embeddings=False, "
                "for peft's folders then with the values of the tied one in both)."
            )
