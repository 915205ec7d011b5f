"""Telling one backbone from another: by its shapes, and by its weights."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from hydra_peft.adaptation.carried import adapters
from hydra_peft.adaptation.heads import belongs_to, find_head
from hydra_peft.adaptation.wrappers import unwrap


def backbone_state_dict(model: nn.Module, head: tuple[str, ...] | None = None) -> dict[str, Tensor]:
    """Return the backbone's tensors under the untouched model's names.

    Head and adapters are left out; a layer that carries an adapter, merged or not, appears with
    its frozen weights.
    """
    model = unwrap(model)
    head = find_head(model, head)
    frozen: dict[str, Tensor] = {}
    layers = []
    for layer, adapter in adapters(model, every_name=True):
        frozen |= {f"{layer}.{name}": t for name, t in adapter.base.state_dict().items()}
        layers.append(layer)
    rest = {
        name: tensor
        for name, tensor in model.state_dict().items()
        if not belongs_to(name, head) and not belongs_to(name, layers)
    }
    return {**rest, **frozen}


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
