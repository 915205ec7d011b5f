"""Weights from a local file, whichever of the usual formats it has, into a timm model."""

from __future__ import annotations

import functools
import inspect
import os
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hydra_peft.backbones.adapter_files import check_no_adapter
from hydra_peft.backbones.google_npz import check_google_vit, read_google_vit
from hydra_peft.backbones.misfits import Misfit, check_names, check_shapes, is_of_head
from hydra_peft.backbones.projection import PROJECTION, check_no_classifier
from hydra_peft.backbones.torch_files import read_torch_file
from hydra_peft.backbones.transformers_folder import WEIGHTS
from hydra_peft.backbones.weight_files import check_suffix
from hydra_peft.errors import UserError, reason_of
from hydra_peft.files import named_path
from hydra_peft.plain_text import tensor_name, tensor_shape
from hydra_peft.tensor_files import read_headers, read_tensors
from hydra_peft.tensor_values import FLOATS, check_finite, wrong_dtype

#: what DistributedDataParallel and torch.compile put before every name
_WRAPPERS = ("module.", "_orig_mod.")
#: what torch's averages of weights have beside ``module.``
_AVERAGED = "n_averaged"


def load_checkpoint(model: nn.Module, path: str | Path, *, antialias: bool = True) -> None:
    """Load a local checkpoint into ``model``, a timm model without a head, in place.

    A head in the file is ignored; position embeddings of another image size are interpolated as
    timm does. ``.npz`` is read in Google's naming (:mod:`~hydra_peft.backbones.google_npz`),
    without pickle; ``.pth`` with ``weights_only=True``. Floats of another width become float32.

    Args:
        model: takes the values.
        path: the file.
        antialias: whether bicubic interpolation to fewer patches smooths first, timm's way.
            ``.npz`` is resampled bilinearly without it, as timm does with that format.

    Raises:
        UserError: the file is missing, truncated, of an unknown format, holds another model, or
            values that are no finite floats.
    """
    path = _checked_file(path)
    if path.suffix == ".npz":
        _check_googles(model, path)
        model.load_state_dict(read_google_vit(path, model))
        return
    stored = read_state(path)
    if PROJECTION in model.state_dict():
        check_no_classifier(stored, str(path))
    state = fitting_state(model, stored, path, antialias=antialias)
    for name, tensor in state.items():
        check_finite(tensor, _where(path, name, tensor))
    model.load_state_dict(state)


def check_checkpoint(skeleton: nn.Module, path: str | Path, *, antialias: bool = True) -> None:
    """Check that a local checkpoint fits a model, without reading the values in it.

    Names and shapes of ``.npz`` and ``.safetensors`` come from their headers. Those of the other
    formats lie in a pickle among the values: of these only the file's name is looked at.

    Args:
        skeleton: a timm model without a head; its tensors need no storage.
        path, antialias: as of :func:`load_checkpoint`.

    Raises:
        UserError: the file is missing, truncated, of an unknown format, or holds another model.
    """
    path = _checked_file(path)
    if path.suffix == ".npz":
        _check_googles(skeleton, path)
        check_google_vit(path, skeleton)
    elif path.suffix == ".safetensors":
        # Without storage timm could not resize them; pages that nobody touches cost nothing.
        empty = {n: torch.empty(s, dtype=d) for n, (s, d) in read_headers(path).items()}
        fitting_state(skeleton, _unwrapped(empty), path, antialias=antialias)


def read_state(path: Path) -> Mapping[str, Tensor]:
    """Return the state dict in a ``.safetensors`` file or one of torch's, on the CPU.

    Raises:
        UserError: the file is truncated or damaged, or holds something else.
    """
    return _unwrapped(
        read_tensors(path) if path.suffix == ".safetensors" else read_torch_file(path)
    )


def _checked_file(name: str | Path) -> Path:
    path = named_path(name, "model.checkpoint")
    check_no_adapter(path, WEIGHTS)
    if not os.path.isfile(path):
        raise UserError(f"model.checkpoint={path} does not exist or is not a file.")
    check_suffix(path)
    return path


def _check_googles(model: nn.Module, path: Path) -> None:
    from timm.models.vision_transformer import VisionTransformer

    if not isinstance(model, VisionTransformer):
        raise UserError(
            f"model.checkpoint={path} is in the format of Google's vision transformers, and this "
            f"model is a {type(model).__name__}: give a .safetensors or .pth file of its own."
        )


def fitting_state(
    model: nn.Module, state: Mapping[str, Tensor], path: Path | str, *, antialias: bool = True
) -> dict[str, Tensor]:
    """Return the floats of ``state`` as float32, in the names and shapes of ``model``.

    Counters that ``model`` has too, such as those of batch norms, keep their type.

    Args:
        model: a timm model without a head.
        state: in a naming that timm converts.
        path: of the file, for messages.
        antialias: as of :func:`load_checkpoint`.

    Raises:
        Misfit: it is of another model.
        UserError: it has values that are no floats, or ``antialias`` is not possible.
    """
    # timm keeps with each family what brings its files into shape.
    family = sys.modules[type(model).__module__]
    into_shape: Callable[..., Any] = getattr(family, "checkpoint_filter_fn", _as_it_is)
    if not antialias:
        if "antialias" not in inspect.signature(into_shape).parameters:
            raise UserError(
                f"model.antialias=false is not possible with a {type(model).__name__}: timm "
                "resamples its position embeddings in one way; leave it out."
            )
        into_shape = functools.partial(into_shape, antialias=False)
    own = model.state_dict()
    # Others may lie beside a backbone, such as sizes of the text tower that it was trained with.
    usable = {
        name: tensor.to(torch.float32) if tensor.dtype in FLOATS else tensor
        for name, tensor in state.items()
        if tensor.dtype in FLOATS or (name in own and own[name].dtype == tensor.dtype)
    }
    try:
        fitting: dict[str, Tensor] = into_shape(usable, model)
    # What timm's conversions make of tensors of other shapes and names is of any kind.
    except Exception as error:
        _check_floats(own.keys() - usable.keys(), state, path)
        check_names(model, usable.keys(), str(path))
        check_shapes(model, usable, str(path))
        raise Misfit(
            f"{path} is not a checkpoint of this {type(model).__name__} ({reason_of(error)})."
        ) from None
    # Some families keep a norm of the backbone in their head: models without a head have it too.
    fitting = {n: t for n, t in fitting.items() if n in own or not is_of_head(n, model)}
    _check_floats(own.keys() - fitting.keys() - usable.keys(), state, path)
    check_names(model, fitting.keys(), str(path))
    check_shapes(model, fitting, str(path))
    return fitting


def _check_floats(names: Collection[str], state: Mapping[str, Tensor], path: Path | str) -> None:
    """Check that no tensor of ``state`` is missed for what its values are."""
    for name in sorted(names):
        if name in state:
            raise wrong_dtype(_where(path, name, state[name]), state[name].dtype)


def _as_it_is(state: dict[str, Tensor], _: nn.Module) -> dict[str, Tensor]:
    return state


def _unwrapped(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return ``state`` without what wrappers put before every name, and count of their own."""
    inside = {name: tensor for name, tensor in state.items() if name != _AVERAGED}
    while inside and (around := [w for w in _WRAPPERS if all(n.startswith(w) for n in inside)]):
        inside = {name.removeprefix(around[0]): tensor for name, tensor in inside.items()}
    return inside


def _where(path: Path | str, name: str, tensor: Tensor) -> str:
    return f"{path}: {tensor_name(name)} of shape {tensor_shape(tensor.shape)}"
