"""Putting one module in the place of another."""

from __future__ import annotations

from torch import nn

from hydra_peft.errors import UserError


def replace_module(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put ``new`` wherever ``model`` holds ``old``, also where it is shared under several names.

    Raises:
        UserError: ``old`` is ``model`` itself, or is not part of it.
    """
    places = [
        (parent, name)
        for parent in model.modules()
        for name, child in parent._modules.items()  # named_children() shows a shared one once
        if child is old
    ]
    if not places:
        raise UserError(
            f"a {type(old).__name__} that stands alone or outside the model cannot be replaced: "
            "pass the module that contains it."
        )
    for parent, name in places:
        setattr(parent, name, new)


def other_names(model: nn.Module, module: nn.Module) -> list[str]:
    """Return the places of ``module`` in ``model`` but the first, as names; what lies in a part
    that is shared as a whole has one place."""
    return [
        f"{parent}.{name}" if parent else name
        for parent, holder in model.named_modules()
        for name, child in holder._modules.items()
        if child is module
    ][1:]


def is_intercepted(module: nn.Module) -> bool:
    """Whether calling ``module`` itself runs more than its class says: hooks, forward or backward,
    or a ``forward`` that was put onto the object."""
    own = module.__dict__.get("forward")  # torch 2.6 does not compile vars()
    # Packages that took back what they had put there (accelerate) leave the class's own, bound.
    patched = own is not None and getattr(own, "__func__", own) is not type(module).forward
    return patched or any(
        (
            module._forward_hooks,
            module._forward_pre_hooks,
            module._backward_hooks,
            module._backward_pre_hooks,
        )
    )
