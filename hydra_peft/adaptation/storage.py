"""An adapter on disk: tensors in safetensors, everything needed to rebuild it in json."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hydra_peft.adaptation.fingerprint import (
    architecture_hash,
    backbone_state_dict,
    weights_hash,
)
from hydra_peft.adaptation.heads import find_head
from hydra_peft.adaptation.injection import Adaptation, adaptation, inject
from hydra_peft.adaptation.parameters import adapter_state_dict
from hydra_peft.adapters.surgery import replace_module
from hydra_peft.errors import UserError
from hydra_peft.files import read_json, write_json
from hydra_peft.methods import build_method
from hydra_peft.tensor_files import read_tensors, write_tensors

FORMAT = 1
TENSORS = "adapter.safetensors"
CONFIG = "adapter.json"


def save_adapter(model: nn.Module, folder: str | Path) -> None:
    """Write adapter and head of ``model``, merged or not, into ``folder``.

    ``adapter.safetensors`` holds the tensors of :func:`adapter_state_dict`; ``adapter.json`` the
    method with its options, the adapted layers, the head, and hashes of the backbone's shapes and
    weights. Both are written atomically.

    Raises:
        UserError: ``model`` has not been adapted.
        OSError: the folder cannot be written.
    """
    folder = Path(folder)
    done = adaptation(model)
    backbone = backbone_state_dict(model, done.head)
    config = {
        "format": FORMAT,
        "method": {"name": done.method.name, **dataclasses.asdict(done.method)},
        "layers": list(done.layers),
        "head": list(done.head),
        "backbone": {
            "architecture": architecture_hash(backbone),
            # Full fine-tuning replaces the backbone's weights, so the file does not depend on them.
            "weights": None if done.method.trains_backbone else weights_hash(backbone),
        },
    }
    write_tensors(folder / TENSORS, adapter_state_dict(model), {"format": str(FORMAT)})
    write_json(folder / CONFIG, config)


def load_adapter(model: nn.Module, folder: str | Path, *, check_weights: bool = True) -> Adaptation:
    """Rebuild a saved adapter, head included, on a fresh backbone, in place.

    A linear (or missing) head of another size is replaced by one of the saved size.

    Args:
        model: an untouched model of the architecture that the adapter was trained on.
        folder: where :func:`save_adapter` wrote.
        check_weights: whether the backbone's weights must be those of training, bit for bit.

    Raises:
        UserError: a file is missing, truncated or of another format; the backbone, its weights,
            the method's layers or a tensor's shape differ from what was saved. After the latter
            two ``model`` is adapted but not loaded: build a fresh one.
    """
    folder = Path(folder)
    config = _read_config(folder / CONFIG)
    tensors = read_tensors(folder / TENSORS)
    head = find_head(model, config["head"])
    _check_backbone(model, head, config["backbone"], check_weights, folder)
    _resize_head(model, head, tensors)
    options = dict(config["method"])
    done = inject(model, build_method(options.pop("name"), **options), head=head)
    if list(done.layers) != config["layers"]:
        raise UserError(
            f"{folder / CONFIG} lists {len(config['layers'])} adapted layers, its targets match "
            f"{len(done.layers)} here: the file was edited, or belongs to another backbone."
        )
    _copy_tensors(model, tensors, folder / TENSORS)
    return done


def _read_config(path: Path) -> dict[str, Any]:
    config = read_json(path)
    if config.get("format") != FORMAT:
        raise UserError(
            f"{path} has format {config.get('format')!r}, this version reads format {FORMAT}."
        )
    kinds = {"method": dict, "layers": list, "head": list, "backbone": dict}
    for key, kind in kinds.items():
        if not isinstance(config.get(key), kind):
            raise UserError(f"{path} lacks '{key}', or it is not a {kind.__name__}.")
    if not isinstance(config["method"].get("name"), str):
        raise UserError(f"{path} does not name a method under 'method'.")
    if not all(isinstance(name, str) for name in (*config["layers"], *config["head"])):
        raise UserError(f"{path}: 'layers' and 'head' are to be lists of names.")
    return config


def _check_backbone(
    model: nn.Module,
    head: tuple[str, ...],
    expected: dict[str, Any],
    check_weights: bool,
    folder: Path,
) -> None:
    state = backbone_state_dict(model, head)
    if architecture_hash(state) != expected.get("architecture"):
        raise UserError(
            f"the adapter in {folder} was trained on another backbone architecture than this "
            f"{type(model).__name__} with {sum(t.numel() for t in state.values()):,} parameters: "
            "build the model that its run's config.yaml names."
        )
    weights = expected.get("weights")
    if check_weights and weights is not None and weights_hash(state) != weights:
        raise UserError(
            f"the adapter in {folder} was trained on other backbone weights (sha256 "
            f"{str(weights)[:12]}) than these ({weights_hash(state)[:12]}): load those, or pass "
            "check_weights=False if you mean it."
        )


def _resize_head(model: nn.Module, head: tuple[str, ...], tensors: dict[str, Tensor]) -> None:
    for name in head:
        old = model.get_submodule(name)
        weight = tensors.get(f"{name}.weight")
        if weight is None or weight.ndim != 2 or not isinstance(old, nn.Linear | nn.Identity):
            continue
        if isinstance(old, nn.Linear) and old.weight.shape == weight.shape:
            continue
        like = next(model.parameters())
        new = nn.Linear(
            weight.shape[1],
            weight.shape[0],
            bias=f"{name}.bias" in tensors,
            device=like.device,
            dtype=like.dtype,
        )
        replace_module(model, old, new)


def _copy_tensors(model: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    own = adapter_state_dict(model)
    missing, unexpected = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    if missing or unexpected:
        raise UserError(
            f"{path} does not fit: it lacks {missing[:3] or 'nothing'} and has the unknown "
            f"{unexpected[:3] or 'nothing'}."
        )
    for name, tensor in tensors.items():
        if own[name].shape != tensor.shape:
            raise UserError(
                f"{path}: '{name}' has shape {tuple(tensor.shape)}, "
                f"expected {tuple(own[name].shape)}."
            )
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)
