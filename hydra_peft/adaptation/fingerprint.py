"""Telling one backbone from another: by its shapes, and by its weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from hydra_peft.adaptation.carried import carriers, tensors_by_name
from hydra_peft.adaptation.heads import belongs_to, find_head
from hydra_peft.adaptation.record import find_adaptation
from hydra_peft.adaptation.wrappers import unwrap


def backbone_state_dict(model: nn.Module, head: tuple[str, ...] | None = None) -> dict[str, Tensor]:
    """Return the backbone's tensors under the untouched model's names.

    Head and adapters are left out; a layer that carries an adapter, merged or not, appears with
    the weights below it. Parameters are the model's own objects: a tied one has several names.
    """
    model = unwrap(model)
    head = find_head(model, head)
    layers = {name for name, _, _ in carriers(model, every_name=True)}
    if (done := find_adaptation(model)) is not None:
        layers.update(done.layers)  # those inside a merged one too
    named = {untouched_name(name, layers): t for name, t in tensors_by_name(model).items()}
    return {name: t for name, t in named.items() if name and not belongs_to(name, head)}


def untouched_name(name: str, layers: Iterable[str]) -> str | None:
    """Map a tensor's name in an adapted model to its name in the untouched backbone.

    ``blocks.0.attn.proj.base.bias`` is ``blocks.0.attn.proj.bias`` there; what lies beside ``base``
    is an adapter's own, and None.

    Args:
        layers: names of the layers that carry an adapter.
    """
    for layer in sorted(layers, key=len, reverse=True):  # adapters inside others first
        if belongs_to(name, [layer]):
            if not belongs_to(name, [f"{layer}.base"]):
                return None
            name = layer + name.removeprefix(f"{layer}.base")
    return name


def architecture_hash(state: Mapping[str, Tensor]) -> str:
    """Return a sha256 over the names and shapes in ``state``: equal for equal architectures."""
    lines = sorted(f"{name} {tuple(tensor.shape)}" for name, tensor in state.items())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def weights_hash(state: Mapping[str, Tensor]) -> str:
    """Return a sha256 over names, dtypes, shapes and bytes in ``state``, in order of name."""
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def frozen_tensors(
    backbone: Mapping[str, Tensor], saved: Iterable[str], layers: Iterable[str]
) -> dict[str, Tensor]:
    """Return the tensors of a backbone without those that a file of the adapter replaces.

    Args:
        backbone: as of :func:`backbone_state_dict`; a tied tensor is left out under all its names.
        saved: names in the file, of the adapted model.
        layers: names of the layers that carry an adapter.
    """
    names = {untouched_name(name, layers) for name in saved}
    replaced = {id(tensor) for name, tensor in backbone.items() if name in names}
    return {name: tensor for name, tensor in backbone.items() if id(tensor) not in replaced}


def frozen_hash(frozen: Mapping[str, Tensor]) -> str | None:
    """Return the weights hash of what :func:`frozen_tensors` returned; None if that is nothing."""
    return weights_hash(frozen) if frozen else None
