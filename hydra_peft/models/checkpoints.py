"""Weights from a local file, whichever of the usual formats it has, into a timm model."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import torch
from torch import Tensor, nn

from hydra_peft.errors import UserError
from hydra_peft.models.google_npz import check_google_vit, read_google_vit
from hydra_peft.models.weight_files import check_suffix
from hydra_peft.tensor_files import read_shapes, read_tensors


def load_checkpoint(model: nn.Module, path: Path) -> None:
    """Load a local checkpoint into ``model``, a timm model without a head, in place.

    A head in the file is ignored; position embeddings of another image size are interpolated as
    timm does. ``.npz`` is read in Google's naming (:mod:`~hydra_peft.models.google_npz`), without
    pickle; ``.pth`` with ``weights_only=True``.

    Raises:
        UserError: the file is missing, truncated, of an unknown format, or holds another model.
    """
    _check_file(path)
    if path.suffix == ".npz":
        _check_googles(model, path)
        model.load_state_dict(read_google_vit(path, model))
    elif path.suffix == ".safetensors":
        model.load_state_dict(_fitting(model, read_tensors(path), path))
    else:
        model.load_state_dict(_fitting(model, _read_torch(path), path))


def check_checkpoint(skeleton: nn.Module, path: Path) -> None:
    """Check that a local checkpoint fits a model, without reading the values in it.

    Names and shapes of ``.npz`` and ``.safetensors`` come from their headers. Those of the other
    formats lie in a pickle among the values: of these only the file's name is looked at.

    Args:
        skeleton: a timm model without a head; its tensors need no storage.
        path: as of :func:`load_checkpoint`.

    Raises:
        UserError: the file is missing, truncated, of an unknown format, or holds another model.
    """
    _check_file(path)
    if path.suffix == ".npz":
        _check_googles(skeleton, path)
        check_google_vit(path, skeleton)
    elif path.suffix == ".safetensors":
        # Without storage timm could not resize them; pages that nobody touches cost nothing.
        shapes = {name: torch.empty(shape) for name, shape in read_shapes(path).items()}
        _fitting(skeleton, shapes, path)


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"model.checkpoint={path} does not exist or is not a file.")
    check_suffix(path)


def _check_googles(model: nn.Module, path: Path) -> None:
    from timm.models.vision_transformer import VisionTransformer

    if not isinstance(model, VisionTransformer):
        raise UserError(
            f"model.checkpoint={path} is in the format of Google's vision transformers, and this "
            f"model is a {type(model).__name__}: give a .safetensors or .pth file of its own."
        )


def _read_torch(path: Path) -> dict[str, Tensor]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise UserError(
            f"cannot read {path}: truncated, or it holds more than tensors, which is refused "
            f"({_first_line(error)})."
        ) from None
    for key in ("model", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise UserError(f"{path} holds no state dict (names and tensors) of a model.")
    return content


def _fitting(model: nn.Module, state: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Return the tensors of ``state`` under the names and in the shapes of ``model``."""
    # timm keeps with each family what brings its files into shape.
    family = sys.modules[type(model).__module__]
    into_shape = getattr(family, "checkpoint_filter_fn", lambda state, _: state)
    own = model.state_dict()
    try:
        state = into_shape(state, model)
    except (
        KeyError,
        RuntimeError,
        ValueError,
        IndexError,
        AttributeError,
        AssertionError,
    ) as error:
        raise UserError(
            f"{path} is not a checkpoint of this {type(model).__name__} ({_first_line(error)})."
        ) from None
    # What only a classifier or a distilled model adds is no part of the backbone.
    heads = ("head.", "head_dist.", "pre_logits.", "fc.")
    state = {n: t for n, t in state.items() if not n.startswith(heads)}
    missing, unexpected = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    if missing or unexpected:
        raise UserError(
            f"{path} does not fit this model: it lacks {len(missing)} tensors {missing[:2]} and "
            f"has {len(unexpected)} unknown ones {unexpected[:2]}."
        )
    for name, tensor in state.items():
        if tensor.shape != own[name].shape:
            raise UserError(
                f"{path}: '{name}' has shape {tuple(tensor.shape)}, this model has "
                f"{tuple(own[name].shape)}."
            )
    return state


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
