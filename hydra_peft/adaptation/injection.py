"""Injection of a fine-tuning method into a model: freeze, adapt, record what is trained."""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from hydra_peft.adaptation.adaptable import (
    check_brought,
    check_head,
    check_tensors,
    check_trainable,
    check_untouched,
    computed_tensors,
)
from hydra_peft.adaptation.carried import carriers
from hydra_peft.adaptation.fingerprint import backbone_state_dict
from hydra_peft.adaptation.frozen import has_running_statistics, other_name, tensors_seen
from hydra_peft.adaptation.heads import belongs_to, find_head
from hydra_peft.adaptation.loaded import check_loaded
from hydra_peft.adaptation.record import (
    Adaptation,
    adaptation,
    find_adaptation,
    keep_adaptation,
)
from hydra_peft.adaptation.wrappers import unwrap
from hydra_peft.adapters.base import Adapter
from hydra_peft.adapters.linear_adapter import LinearAdapter, no_dropout_here
from hydra_peft.adapters.readers import weight_readings
from hydra_peft.adapters.surgery import replace_module
from hydra_peft.errors import UserError, reason_of
from hydra_peft.methods import build_method
from hydra_peft.methods._base import Method
from hydra_peft.plain_text import quoted, shortened

log = logging.getLogger("hydra_peft")


@torch.inference_mode(False)  # what is made in it could never be trained
def inject(
    model: nn.Module,
    method: str | Method | type[Method] = "hydra",
    *,
    head: str | Sequence[str] | None = None,
    **options: Any,
) -> Adaptation:
    """Freeze ``model``, apply a fine-tuning method to it in place, and leave its head trainable.

    What is trained is recorded on the model: counting, saving and loading go by that, whatever
    requires a gradient later.

    Args:
        model: any module with ``nn.Linear`` layers, compiled or not.
        method: ``lora``, ``seqlora``, ``hydra``, ``linear``, ``full``, a method's class or a built
            method.
        head: name or names of the head; None finds it, and logs a warning where there is none to be
            found; ``()`` says that there is none.
        **options: the method's options, such as ``targets=['mlp.fc2'], rank=4, scale=2.0``.

    Returns:
        What was done: the method, the adapted layers, the head; printing it says so.

    Raises:
        UserError: an unknown method or option, a pattern without a linear layer, a rank that does
            not fit, a model that has been adapted before, or one that cannot be adapted: sharded,
            quantised, lazy, with a head tied to the backbone. The model is then as it was.
    """
    model = check_adaptable(model)
    if isinstance(method, str | type):
        method = build_method(method, **options)
    elif options:
        raise UserError(f"options {sorted(options)} go with a method's name, not with a built one.")
    _check_method(method)
    method = copy.deepcopy(method)  # the caller's lists may change later
    head_names = find_head(model, head)
    if not method.trains_backbone:
        check_head(model, head_names)
    backbone = backbone_state_dict(model, head_names)
    seen = {} if method.trains_backbone else tensors_seen(backbone)
    trainable_before = {p: p.requires_grad for p in model.parameters()}
    try:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(belongs_to(name, head_names))
        layers = method.apply(model, head_names)
        _check_layers(model, method, layers)
        check_brought(model)
        _check_backbone(model, method, head_names, backbone)
        _name_places(model)
        _take_modes(model)
    except BaseException:
        # The outermost first: those inside it are then where they were.
        while found := [module for module in model.modules() if isinstance(module, Adapter)]:
            replace_module(model, found[0], found[0].base)
        for parameter, trainable in trainable_before.items():
            parameter.requires_grad_(trainable)
        raise
    trained, fixed = _trained(model, head_names), _fixed(model)
    model.zero_grad()  # of steps before this: an optimizer would move frozen weights by it
    done = Adaptation(
        method,
        tuple(layers),
        head_names,
        trained=tuple(names[0] for names in trained),
        shared=tuple(names for names in (*trained, *_frozen(fixed)) if len(names) > 1),
        fixed=tuple(names[0] for names, _ in fixed),
        computed=computed_tensors(model),
        seen=seen,
    )
    keep_adaptation(model, done)
    model.register_load_state_dict_pre_hook(check_loaded)
    if method.trains_backbone:
        _tell_of_frozen(model, method)
    else:
        _tell_of_no_head(model, done, asked=head is not None)
    return done


def _tell_of_frozen(model: nn.Module, method: Method) -> None:
    """Log a warning where a method that trains all of the backbone left parameters of it frozen."""
    frozen = [(n, p.dtype) for n, p in model.named_parameters() if not p.requires_grad]
    if frozen:
        log.warning(
            "method '%s' trains parameters of real numbers: '%s' is %s and stays frozen, with %d "
            "in all",
            method.name,
            frozen[0][0],
            str(frozen[0][1]).removeprefix("torch."),
            len(frozen),
        )


def _tell_of_no_head(model: nn.Module, done: Adaptation, *, asked: bool) -> None:
    """Log a warning where no head was found, or one that has nothing to train and nothing else has.

    Args:
        asked: whether the head was named.
    """
    kind, method = type(model).__name__, done.method.name
    if not asked and not done.head:
        parts = ", ".join(name for name, _ in model.named_children())
        log.warning(
            "no head was found in this %s, and all that method '%s' does not train is frozen: name "
            "the head, head='...' (its parts: %s), or say that there is none, head=()",
            kind,
            method,
            shortened(parts, 200) or "none",
        )
    if not any(parameter.requires_grad for parameter in model.parameters()):
        log.warning(
            "method '%s' trains nothing in this %s: its head (%s) has no parameters, as with "
            "num_classes=0 of timm",
            method,
            kind,
            ", ".join(done.head) or "none",
        )


def check_adaptable(model: nn.Module) -> nn.Module:
    """Return the model inside ``model``'s wrappers, if a method can be applied to it.

    Raises:
        UserError: it has been adapted before, or cannot be; see :func:`inject`.
    """
    inner = unwrap(model)
    if any(isinstance(module, DistributedDataParallel) for module in model.modules()):
        raise UserError(
            "a DistributedDataParallel synchronises the parameters it was made with: inject into "
            "the model first, then wrap it."
        )
    model = inner
    if (done := find_adaptation(model)) is not None:
        raise UserError(
            f"this model already carries '{done.method.label}': start from a fresh "
            "backbone, or merge and keep the merged weights in one."
        )
    check_untouched(model)
    check_tensors(model)
    check_trainable(model)
    return model


def _check_method(method: object) -> None:
    if not isinstance(method, Method) or not isinstance(getattr(method, "name", None), str):
        raise UserError(
            f"{quoted(method)} is no method: give the name of one, or a subclass of "
            "hydra_peft.methods.Method with a class attribute 'name', or an object of it."
        )
    try:
        json.dumps(dataclasses.asdict(method), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"the options of method '{method.name}' could not be saved as json: {reason_of(error)}."
        ) from None


def _check_layers(model: nn.Module, method: Method, layers: object) -> None:
    if not isinstance(layers, list | tuple):
        raise UserError(
            f"'apply' of method '{method.name}' returned {quoted(layers)}: it is to return the "
            "list of names of the layers that carry an adapter, [] where none does."
        )
    carried = {name for name, _, _ in carriers(model)}
    for name in layers:
        if name not in carried:
            raise UserError(
                f"method '{method.name}' says that it adapted '{name}', where no Adapter (of "
                "hydra_peft.adapters.base) is: 'apply' is to return the layers that carry one."
            )


def _check_backbone(
    model: nn.Module, method: Method, head: tuple[str, ...], before: Mapping[str, Tensor]
) -> None:
    """Check that beside adapters the backbone has the tensors that it had before ``method``.

    Raises:
        UserError: it has others, and could not be told from another architecture at loading.
    """
    now = backbone_state_dict(model, head)
    new, lost = other_name(now, before), other_name(before, now)
    if new or lost:
        raise UserError(
            f"'apply' of method '{method.name}' changed the backbone: '{new or lost}' is "
            f"{'new' if new else 'gone'}; what it puts into a model is to be an Adapter (of "
            "hydra_peft.adapters.base), which keeps the layer as its 'base'. Start from a fresh "
            "model."
        )


def _name_places(model: nn.Module) -> None:
    """Tell adapters of linear layers where they are, and check that those with dropout are called.

    Raises:
        UserError: the model reads the weight of one, and calls none in its place.
    """
    dropping = []
    for name, _, adapter in carriers(model):
        if isinstance(adapter, LinearAdapter):
            adapter.place = f"'{name}'"
            own = (part for n, part in adapter.named_modules() if not n.startswith("base"))
            if any(isinstance(part, nn.Dropout) and part.p > 0 for part in own):
                dropping.append(name)
    for name, reading in weight_readings(model, dropping).items():
        if not reading.called:
            raise UserError(f"{no_dropout_here(repr(name))}.")


def _take_modes(model: nn.Module) -> None:
    """Put what adapters hold beside ``base`` into the mode, training or evaluation, of ``base``."""
    for _, _, adapter in carriers(model):
        adapter.training = adapter.base.training
        for name, child in adapter.named_children():
            if name != "base":
                child.train(adapter.base.training)


def _trained(model: nn.Module, head: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Return the names of each parameter outside the head that requires a gradient."""
    known = {id(p) for top in head for p in model.get_submodule(top).parameters()}
    names: dict[int, tuple[str, ...]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if parameter.requires_grad and id(parameter) not in known:
            names[id(parameter)] = (*names.get(id(parameter), ()), name)
    return list(names.values())


def _fixed(model: nn.Module) -> list[tuple[tuple[str, ...], Tensor]]:
    """Return the names of each tensor that adapters hold beside ``base`` and do not train."""
    found: dict[int, tuple[tuple[str, ...], Tensor]] = {}
    for layer, _, adapter in carriers(model):
        for name, tensor in adapter.state_dict(keep_vars=True).items():
            own = isinstance(tensor, Tensor) and not name.startswith("base.")
            if own and not tensor.requires_grad:
                names, _ = found.get(id(tensor), ((), tensor))
                found[id(tensor)] = ((*names, f"{layer}.{name}"), tensor)
    return list(found.values())


def _frozen(fixed: Sequence[tuple[tuple[str, ...], Tensor]]) -> list[tuple[str, ...]]:
    """Return the names of the parameters among ``fixed``."""
    return [names for names, tensor in fixed if isinstance(tensor, nn.Parameter)]


def set_training_mode(model: nn.Module) -> None:
    """Put ``model`` into training mode as its method wants it (linear probing: head only; prompts:
    adapters and head).

    Where the backbone is frozen so are the running statistics of its normalisation layers (batch
    normalisation): they are no part of what is saved, and a layer that moves them trains.
    """
    inner = unwrap(model)
    done = find_adaptation(inner) or adaptation(inner)
    model.train(not done.method.backbone_in_eval)  # wrappers too
    model = inner
    if not done.method.trains_backbone:
        for module in model.modules():
            if has_running_statistics(module):
                module.eval()
    for _, _, adapter in carriers(model):
        adapter.training = True
        for name, part in adapter.named_children():
            if name != "base":
                part.train()
    for name in find_head(model, done.head):
        model.get_submodule(name).train()
