"""The model inside what compiles, distributes or averages it."""

from __future__ import annotations

import functools

from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from hydra_peft.errors import UserError

#: where torch's compiler, its activation checkpointing and FSDP keep the module that they wrap
_INNER = ("_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module")


def unwrap(model: nn.Module) -> nn.Module:
    """Return the model that wrappers of torch hold, or ``model`` itself where it is none.

    Known are ``torch.compile``, ``DataParallel``, ``DistributedDataParallel``, ``AveragedModel``
    and activation checkpointing, also one around the other.

    Raises:
        UserError: not a module, a TorchScript model, one whose tensors are sharded over processes
            (FSDP, tensor parallelism, ZeRO-3), or one with a wrapper around a part of it.
    """
    if not isinstance(model, nn.Module):
        raise UserError(f"this is a {type(model).__name__} where a model (nn.Module) was expected.")
    _check_whole(model)
    while (inner := _inner(model)) is not None:
        model = getattr(model, inner)
        _check_whole(model)
    left = [model]  # walked without names, which take most of the time
    while left:
        module = left.pop()
        _check_whole(module)
        if (inner := _inner(module)) is not None:
            name = next(name for name, part in model.named_modules() if part is module)
            raise UserError(
                f"'{name}' is wrapped on its own ({type(module).__name__}), which changes the "
                f"names that adapters have: put '{name}.{inner}' in its place for this call (to "
                "compile a part without a wrapper, call its compile() method)."
            )
        left += [part for part in reversed(module._modules.values()) if part is not None]
    return model


def _inner(module: nn.Module) -> str | None:
    """Return the name under which ``module`` holds what it wraps, or None."""
    if isinstance(module, DataParallel | DistributedDataParallel | AveragedModel):
        return "module"
    return next((name for name in _INNER if name in module._modules), None)


def _check_whole(module: nn.Module) -> None:
    """Check that ``module`` itself, not its children, is no script and has no sharded tensors."""
    own = [parameter for parameter in module._parameters.values() if parameter is not None]
    homes = {_home(kind) for kind in (type(module), *map(type, own))}
    if "torch.jit" in homes:
        raise UserError(
            "this is a TorchScript model, whose layers cannot be looked at or replaced: use the "
            "nn.Module that it was made of."
        )
    sharded = not homes.isdisjoint({"torch.distributed.fsdp", "torch.distributed.tensor"})
    if sharded or any(hasattr(parameter, "ds_tensor") for parameter in own):
        raise UserError(
            "this model is sharded (FSDP, tensor parallelism or ZeRO-3): a process holds parts of "
            "its tensors only. Inject before sharding; to save, merge or count, gather its full "
            "state dict into an unsharded model that inject() was called on, and use that."
        )


@functools.cache
def _home(kind: type) -> str:
    """Return the package of torch (quantisation, FSDP, ...) that defines ``kind``, '' for plain
    modules."""
    # Known by the names of their homes: importing these takes a second, and they are rarely used.
    packages = ("torch.jit", "torch.distributed.fsdp", "torch.distributed.tensor")
    homes = [base.__module__ for base in kind.__mro__]
    return next((p for p in packages for home in homes if home.startswith(p)), "")
