"""An adapter on disk: tensors in safetensors, everything needed to rebuild it in json."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hydra_peft.adaptation.adaptable import check_computed, check_tensors, check_values
from hydra_peft.adaptation.copying import copy_tensors
from hydra_peft.adaptation.fingerprint import (
    architecture_hash,
    backbone_state_dict,
    frozen_hash,
    frozen_tensors,
)
from hydra_peft.adaptation.heads import belongs_to, find_head
from hydra_peft.adaptation.injection import check_adaptable, inject
from hydra_peft.adaptation.parameters import (
    adapter_state_dict,
    broken_tensor,
)
from hydra_peft.adaptation.record import Adaptation, adaptation
from hydra_peft.adaptation.same_backbone import check_backbone, precision
from hydra_peft.adaptation.unsaved import tell_of_unsaved
from hydra_peft.adaptation.wrappers import unwrap
from hydra_peft.adapters.surgery import replace_module
from hydra_peft.disk_errors import disk_reason, remedy
from hydra_peft.errors import UserError, did_you_mean, placed
from hydra_peft.files import named_path, read_json, write_json
from hydra_peft.hub import local_folder
from hydra_peft.links import missing
from hydra_peft.methods import build_method, is_own, method_names
from hydra_peft.methods._base import Method
from hydra_peft.plain_text import counted, quoted, tensor_name, tensor_shape
from hydra_peft.tensor_files import read_tensors_and_metadata, write_tensors
from hydra_peft.tensor_values import check_weight

FORMAT = 1
TENSORS = "adapter.safetensors"
CONFIG = "adapter.json"
FILES = (CONFIG, TENSORS)

log = logging.getLogger("hydra_peft")


def save_adapter(model: nn.Module, folder: str | Path) -> None:
    """Write adapter and head of ``model``, merged or not, into ``folder``, which is made.

    ``adapter.safetensors`` holds the tensors of :func:`adapter_state_dict`; ``adapter.json`` the
    method with its options, the adapted layers, the head, and hashes of the backbone's shapes and
    weights. Both are written atomically. What loading needs beside the folder is logged as a
    warning: the class of a method that is not one of ours.

    Raises:
        UserError: ``folder`` cannot be made or written, or has an ``adapter.json`` of something
            else; ``model`` has not been adapted, lost what
            is trained of it, is merged and was changed since, is pruned or parametrized since, has
            no values, or some that are not finite. Nothing is written then.
    """
    folder = named_path(folder, "the folder to save in")
    _check_ours(folder / CONFIG)
    try:
        write_adapter(model, folder)
    except OSError as error:
        raise UserError(
            f"{disk_reason(error) or f'cannot write into {folder}: {error}'}; the adapter was not "
            f"saved: {remedy(error, 'name another folder')}."
        ) from error


def _check_ours(path: Path) -> None:
    """Check that what is there as ``path`` is an adapter's, of whichever format.

    Raises:
        UserError: it is not.
    """
    if not os.path.isfile(path):
        return
    try:
        ours = {"format", "method", "layers", "backbone"} <= read_json(path, links=True).keys()
    except UserError:
        ours = False
    if not ours:
        raise UserError(
            f"{path} is there, and save_adapter did not write it: the adapter was not saved; name "
            "another folder, or move that file away."
        )


def write_adapter(model: nn.Module, folder: Path) -> None:
    """Write what :func:`save_adapter` does, for callers that tell one failing disk from another.

    Raises:
        UserError: as of :func:`save_adapter`.
        OSError: the folder cannot be written.
    """
    done = adaptation(model)
    model = unwrap(model)
    check_tensors(model)
    check_computed(model, done.computed)
    state = adapter_state_dict(model)
    backbone = backbone_state_dict(model, done.head)
    check_values(model, (*state.values(), *backbone.values()), "save")
    if (broken := broken_tensor(model)) is not None:
        raise UserError(
            f"'{broken}' has values that are not finite, which cannot be loaded again: has "
            "training diverged? Nothing was written."
        )
    frozen = frozen_tensors(backbone, state, done.layers)
    config = {
        "format": FORMAT,
        "method": {"name": done.method.name, **dataclasses.asdict(done.method)},
        "layers": list(done.layers),
        "head": list(done.head),
        "backbone": {
            "architecture": architecture_hash(backbone),
            "weights": frozen_hash(frozen),
            "dtype": precision(backbone.values()),
        },
    }
    if not is_own(done.method):
        config["class"] = f"{type(done.method).__module__}.{type(done.method).__qualname__}"
        log.warning(
            "the adapter in %s can be loaded where the class %s is: load_adapter(model, folder, "
            "method=%s)",
            folder,
            config["class"],
            type(done.method).__name__,
        )
    tell_of_unsaved(model, backbone, frozen, folder)
    # So that tensors are told from the description of an earlier saving, if this is cut short here.
    # One entry: safetensors writes several in no fixed order, and equal runs give equal files.
    write_tensors(folder / TENSORS, state, {"config": json.dumps(config)})
    write_json(folder / CONFIG, config)


@torch.inference_mode(False)  # what is made in it could never be trained
def load_adapter(
    model: nn.Module,
    folder: str | Path,
    *,
    method: str | Method | type[Method] | None = None,
    check_weights: bool = True,
) -> Adaptation:
    """Rebuild a saved adapter, head included, on a fresh backbone, in place.

    A linear (or missing) head of another size is replaced by one of the saved size; ``num_classes``
    of the model, or ``num_labels`` of its config, follow.

    Args:
        model: an untouched model of the architecture that the adapter was trained on.
        folder: where :func:`save_adapter` wrote, or ``hf://<user>/<name>[@<revision>]`` on the hub.
        method: the method's class, or the method with the saved options, where it is a class of
            your own; nothing is imported because a file names it.
        check_weights: whether the backbone's weights must be those of training, bit for bit.

    Raises:
        UserError: a file is missing, truncated or of another format; the method is not known or
            not the saved one; the backbone, its weights, the method's layers or a tensor's shape
            differ from what was saved, or a tensor holds no finite floats. After the latter three
            ``model`` is adapted but not loaded: build a fresh one.
    """
    folder = local_folder(folder, FILES, "the folder to load from")
    model = check_adaptable(model)
    check_values(model, model.parameters(), "load into")
    config = _read_config(folder / CONFIG)
    built = _method(config, method, folder / CONFIG)
    tensors, metadata = read_tensors_and_metadata(folder / TENSORS)
    with placed(f"{folder / CONFIG} cannot be used:"):
        head = find_head(model, config["head"])
    check_backbone(model, head, config, tensors, check_weights, folder)
    resize_head(model, head, tensors, folder / TENSORS)
    with placed(f"{folder / CONFIG} cannot be used:"):
        done = inject(model, built, head=head)
    if list(done.layers) != config["layers"]:
        raise UserError(
            f"{folder / CONFIG} lists {len(config['layers'])} adapted layers, its targets match "
            f"{len(done.layers)} here{_unlike(done.layers, config['layers'])}: the file was "
            "edited, or belongs to another backbone."
        )
    own = adapter_state_dict(model)
    _check_tensors(model, own, tensors, folder / TENSORS)
    if metadata.get("config", described := json.dumps(config)) != described:
        raise UserError(
            f"{folder / CONFIG} does not describe the {TENSORS} beside it: one was edited, or is "
            "of a saving that did not end; save the adapter again."
        )
    copy_tensors(model, tensors, folder / TENSORS)
    return done


def take_adapter(model: nn.Module, folder: Path) -> None:
    """Copy the saved adapter in ``folder`` into ``model``, adapted alike; its head stays as it is.

    What the method trains of the backbone beside the adapter is taken too.

    Raises:
        UserError: a file is missing, truncated or of another format; or layers, names or shapes
            are others than the model's, or a tensor holds no finite floats.
    """
    done, config = adaptation(model), _read_config(folder / CONFIG)
    tensors, _ = read_tensors_and_metadata(folder / TENSORS)
    if list(done.layers) != config["layers"]:
        raise UserError(
            f"the adapter in {folder} is on {counted(len(config['layers']), 'layer')}, and "
            f"that of this model on {len(done.layers)}{_unlike(done.layers, config['layers'])}: "
            "start from one with the same targets."
        )
    own = {
        name: tensor
        for name, tensor in adapter_state_dict(model).items()
        if not belongs_to(name, done.head)
    }
    taken = {n: tensor for n, tensor in tensors.items() if not belongs_to(n, config["head"])}
    _check_tensors(model, own, taken, folder / TENSORS)
    copy_tensors(model, taken, folder / TENSORS)


def _unlike(here: Sequence[str], saved: Sequence[str]) -> str:
    """Return in words a layer that is in one of two lists, or that their order differs."""
    for ours, theirs, where in ((saved, here, "there"), (here, saved, "here")):
        if only := sorted(set(ours) - set(theirs)):
            return f", {quoted(only[0])} only {where}"
    return ", in another order or one of them twice"


def _method(
    config: dict[str, Any], given: str | Method | type[Method] | None, path: Path
) -> Method:
    """Return the method that ``config`` names, of the class that the caller gave or of ours."""
    options = dict(config["method"])
    name, home = options.pop("name"), config.get("class")
    if given is None and home is not None:
        raise UserError(
            f"{path} was saved with a method of your own, {name!r} of class {home!r}: import "
            "that class and pass it, load_adapter(model, folder, method=<the class>)."
        )
    if given is None and name not in method_names():
        raise UserError(
            f"{path} cannot be used: method {quoted(name)} is unknown"
            f"{did_you_mean(name, method_names())}: if it is one of your own, import its class and "
            "pass it, load_adapter(model, folder, method=<the class>), or install its package."
        )
    given = name if given is None else given
    if isinstance(given, str) and given != name:
        raise UserError(f"{path} was saved with method {name!r}, and {given!r} was given.")
    built: Any = given
    if isinstance(given, str | type):
        with placed(f"{path} cannot be used:"):
            built = build_method(given, **options)
    if not isinstance(built, Method) or built.name != name:
        raise UserError(f"{path} was saved with method {name!r}, and {built!r} was given.")
    own = json.loads(json.dumps(dataclasses.asdict(built)))
    options = {**type(built).added_options(), **options}
    if missing := sorted(own.keys() - options.keys()):
        raise UserError(
            f"{path} lacks the option '{missing[0]}' of method {name!r}: the file was edited, or "
            "saved before the method had it; write into it what the adapter was trained with."
        )
    if different := [key for key in own if own[key] != options[key]]:
        key = different[0]
        raise UserError(
            f"{path} was saved with {key}={options[key]!r}, and the method given has "
            f"{key}={own[key]!r}: pass its class, or build it with the saved options."
        )
    return built


def _read_config(path: Path) -> dict[str, Any]:
    if not os.path.lexists(path):
        is_folder, is_there = os.path.isdir(path.parent), os.path.lexists(path.parent)
        what = f"has no {CONFIG}" if is_folder else "is no folder" if is_there else "is not there"
        said = missing(path.parent, what)
        raise UserError(f"{said}: give a folder that save_adapter wrote, or that of a run.")
    config = read_json(path, links=True)  # hubs keep what they fetched behind links
    if config.get("format") != FORMAT:
        raise UserError(f"{path} has another format than {FORMAT}, which this version reads.")
    kinds = {"method": dict, "layers": list, "head": list, "backbone": dict}
    for key, kind in kinds.items():
        if not isinstance(config.get(key), kind):
            raise UserError(f"{path} lacks '{key}', or it is not a {kind.__name__}.")
    if not isinstance(config.get("class"), str | None):
        raise UserError(f"{path}: 'class' is to be the name of the method's class.")
    if not isinstance(config["method"].get("name"), str):
        raise UserError(f"{path} does not name a method under 'method'.")
    if not all(isinstance(name, str) for name in (*config["layers"], *config["head"])):
        raise UserError(f"{path}: 'layers' and 'head' are to be lists of names.")
    return config


def resize_head(
    model: nn.Module, head: tuple[str, ...], tensors: dict[str, Tensor], path: Path
) -> None:
    """Put linear layers of the sizes in ``tensors`` in the places of those of heads of others.

    Raises:
        UserError: a saved head has no outputs.
    """
    named = [pair for top in head for pair in model.get_submodule(top).named_modules(prefix=top)]
    for name, old in named:
        weight = tensors.get(f"{name}.weight")
        if weight is None or weight.ndim != 2 or not isinstance(old, nn.Linear | nn.Identity):
            continue
        # Another width comes of no head that stood here, and a forward of its own would be lost:
        # the check of shapes says so.
        rows, width = weight.shape
        if rows == 0:
            raise UserError(f"{path}: '{name}.weight' is of no class: fetch or save it again.")
        if isinstance(old, nn.Linear) and (old.in_features != width or old.out_features == rows):
            continue
        if type(old).forward not in (nn.Linear.forward, nn.Identity.forward):
            continue
        like = next(p for m in (old, model) for p in m.parameters() if p.is_floating_point())
        new = nn.Linear(
            width,
            rows,
            bias=f"{name}.bias" in tensors,
            device=like.device,
            dtype=like.dtype,
        )
        replace_module(model, old, new)
        _tell_classes(model, getattr(old, "out_features", 0), rows)


def _tell_classes(model: nn.Module, before: int, classes: int) -> None:
    """Let ``model`` know of its new number of outputs, which a loss or a saved config goes by."""
    for holder in (model, getattr(model, "config", None)):
        for key in ("num_classes", "num_labels"):  # timm's and torchvision's, transformers'
            if getattr(holder, key, None) == before:
                setattr(holder, key, classes)


def _few(names: list[str]) -> str:
    return ", ".join(map(tensor_name, names[:3]))


def _check_tensors(
    model: nn.Module, own: dict[str, Tensor], tensors: dict[str, Tensor], path: Path
) -> None:
    buffers = dict(model.named_buffers(remove_duplicate=False))
    missing, unexpected = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    head = adaptation(model).head
    apart = [name for name in own if belongs_to(name, head)]
    if missing and not unexpected and missing == sorted(apart):
        raise UserError(
            f"{path} was saved without a head, and this {type(model).__name__} has one "
            f"({', '.join(head)}): load it into a model without one (timm: num_classes=0), and put "
            "the head on afterwards."
        )
    if missing or unexpected:
        faults = [f"lacks {_few(missing)}"] * bool(missing)
        faults += [f"has the unknown {_few(unexpected)}"] * bool(unexpected)
        raise UserError(f"{path} does not fit: it {' and '.join(faults)}.")
    for name, tensor in tensors.items():
        if own[name].shape != tensor.shape:
            raise UserError(
                f"{path}: {tensor_name(name)} has shape {tensor_shape(tensor.shape)}, "
                f"expected {tuple(own[name].shape)}."
            )
        check_weight(tensor, own[name].dtype, f"{path}: {tensor_name(name)}", mask=name in buffers)
