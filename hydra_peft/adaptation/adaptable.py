"""Whether a model can be adapted, and its adapter saved: found out before anything is changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import is_parametrized

from hydra_peft.adaptation.carried import carriers
from hydra_peft.adaptation.heads import belongs_to
from hydra_peft.adapters.targets import DTYPES
from hydra_peft.errors import UserError

#: where other packages define modules that hold adapters, which they put into a model
_OTHERS = ("peft.", "loralib.", "adapters.methods.")

#: the end of names under which torch keeps what a module's get_extra_state() returns
EXTRA = "_extra_state"


def check_untouched(model: nn.Module) -> None:
    """Check that ``model`` has no adapter yet.

    Raises:
        UserError: it, or a part of it, carries one, ours or that of another package.
    """
    for name, module in model.named_modules():
        homes = (f"{base.__module__}." for base in type(module).__mro__)
        if home := next((home for home in homes if home.startswith(_OTHERS)), ""):
            place = f" at '{name}'" if name else ""
            raise UserError(
                f"this {type(model).__name__} carries adapters of the package "
                f"'{home.partition('.')[0]}'{place}, which would be taken for the backbone: merge "
                "them first (peft: model.merge_and_unload()), or start from a fresh model."
            )
    carried = carriers(model)
    if carried:
        raise UserError(
            f"this {type(model).__name__} already carries an adapter at '{carried[0][0]}': start "
            "from a fresh one."
        )


def check_tensors(model: nn.Module) -> None:
    """Check that ``model`` holds nothing but initialised, plain tensors, which can be saved.

    Raises:
        UserError: it has lazy layers that no batch has passed, a name that is no Unicode, or in its
            state dict what is no plain tensor, as a quantised model has.
    """
    state: Mapping[str, Any] = model.state_dict()
    for name, value in state.items():
        if any("\ud800" <= letter <= "\udfff" for letter in name):
            raise UserError(
                f"the name {name!a} in this model's state dict has a lone surrogate, which no file "
                "holds: give that module another name."
            )
        if is_lazy(value):
            raise UserError(
                f"'{name}' has no shape yet (a lazy layer): pass one batch through the model first."
            )
        if name.rpartition(".")[2] == EXTRA and not isinstance(value, Tensor):
            continue
        if not isinstance(value, Tensor) or value.is_quantized or value.layout != torch.strided:
            raise UserError(
                f"'{name}' in this model's state dict is no plain tensor (a quantised, sparse or "
                "custom layer): take the model as it was before that."
            )


def check_brought(model: nn.Module) -> None:
    """Check that files can hold what the adapters of ``model`` have beside their frozen layers.

    Raises:
        UserError: they have a tensor that is not dense, or of 8 or 128 bits a number.
    """
    for layer, _, adapter in carriers(model):
        state: Mapping[str, Any] = adapter.state_dict()
        for name, value in state.items():
            if isinstance(value, Tensor) and not name.startswith("base.") and _is_odd(value):
                raise UserError(
                    f"'{layer}.{name}' of {type(adapter).__name__} is quantised, sparse, nested or "
                    f"of {value.dtype}, which no file of an adapter holds: let it be a plain "
                    "tensor, or register the buffer with persistent=False."
                )


def _is_odd(tensor: Tensor) -> bool:
    if tensor.is_quantized or tensor.is_nested or tensor.layout != torch.strided:
        return True
    is_tiny = tensor.is_floating_point() and tensor.element_size() == 1
    return is_tiny or tensor.dtype == torch.complex128


def check_values(model: nn.Module, tensors: Iterable[Tensor], verb: str) -> None:
    """Check that ``tensors`` have values.

    Args:
        model: whose they are.
        tensors: of it.
        verb: what is to be done with their values, such as ``save``.

    Raises:
        UserError: one lies on the meta device.
    """
    if not any(tensor.is_meta for tensor in tensors):
        return
    if any(hasattr(module, "_hf_hook") for module in model.modules()):
        raise UserError(
            f"accelerate keeps values of this model outside of it (cpu_offload, disk_offload, "
            f"device_map), so there are none to {verb}: take them back first "
            "(accelerate.hooks.remove_hook_from_module(model, recurse=True)), or use a model that "
            "is not offloaded."
        )
    raise UserError(
        f"this model lies on the meta device and has no values to {verb}: give it some first "
        "(to_empty() and load_state_dict())."
    )


def check_trainable(model: nn.Module) -> None:
    """Check that torch lets the tensors of ``model`` take part in training.

    Raises:
        UserError: one was made in inference mode.
    """
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_inference():
            raise UserError(
                f"'{name}' was made in torch.inference_mode() and cannot be trained: build and "
                "cast the model outside of it."
            )


def computed_tensors(model: nn.Module) -> tuple[str, ...]:
    """Return the names of tensors that modules compute from parameters of other names.

    These are weights that are pruned, weight-normalised or parametrized by ``torch.nn.utils``.
    """
    found = []
    for name, module in model.named_modules():
        attributes = [key for key, value in vars(module).items() if isinstance(value, Tensor)]
        own = [a for a in attributes if {f"{a}_orig", f"{a}_g"} & module._parameters.keys()]
        if is_parametrized(module):
            own += module.get_submodule("parametrizations")._modules
        found += [f"{name}.{key}" if name else key for key in own]
    return tuple(found)


def check_computed(model: nn.Module, before: tuple[str, ...]) -> None:
    """Check that no tensor of ``model`` is computed that was a parameter when it was adapted.

    Args:
        before: :func:`computed_tensors` at that time.
    """
    if new := [name for name in computed_tensors(model) if name not in before]:
        raise UserError(
            f"'{new[0]}' is pruned, weight-normalised or parametrized since inject(), and what it "
            "is computed from fits no fresh model: make it a parameter again "
            "(torch.nn.utils.prune.remove, remove_weight_norm or "
            "parametrize.remove_parametrizations)."
        )


def check_head(model: nn.Module, head: tuple[str, ...]) -> None:
    """Check that the head of ``model`` can be trained without changing the frozen backbone.

    Raises:
        UserError: the head has a dtype that cannot be trained, or a parameter of the backbone's.
    """
    named = dict(model.named_parameters(remove_duplicate=False))
    outside = {id(p): name for name, p in named.items() if not belongs_to(name, head)}
    for name, parameter in named.items():
        if not belongs_to(name, head):
            continue
        if parameter.dtype not in DTYPES:
            raise UserError(
                f"'{name}' of the head has dtype {parameter.dtype}, which cannot be trained (a "
                "quantised head?): put a floating-point head in its place."
            )
        if id(parameter) in outside:
            raise UserError(
                f"the head's '{name}' is tied to '{outside[id(parameter)]}' of the backbone: "
                "training one would change the other. Give the head a copy of its own "
                "(nn.Parameter(weight.detach().clone())), or pass head=() to leave it frozen."
            )
