"""Copies of an adapted model that consist of what timm knows: no adapters, a linear head."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from hydra_peft.adaptation.carried import carriers
from hydra_peft.adaptation.merging import merge
from hydra_peft.adaptation.record import adaptation, keep_adaptation
from hydra_peft.adapters.base import NotMergeable
from hydra_peft.adapters.copied import copy_of
from hydra_peft.adapters.surgery import replace_module
from hydra_peft.backbones.projection import ProjectedVisionTransformer
from hydra_peft.errors import UserError
from hydra_peft.heads._classifier import Classifier, UnitNorm


def merged_copy(model: nn.Module) -> nn.Module:
    """Return a copy of an adapted ``model`` whose adapters are merged, in evaluation mode.

    Raises:
        UserError: an adapter cannot be merged; it says which and why.
    """
    copied = copy_of(model)
    try:
        merge(copied)
    except NotMergeable as error:
        raise UserError(
            f"method {adaptation(model).method.name} cannot be merged into the backbone's own "
            f"weights ({str(error).rstrip('.')}), and this form has no place for adapters: use the "
            "run as it is, hydra_peft.load_run(folder)."
        ) from None
    return copied.eval()


def other_form(model: nn.Module, *, of_run: bool = True) -> str:
    """Return how a ``model`` can be used that a form does not hold, as a message says it.

    Args:
        of_run: whether it is a run's, and no model that was adapted in a loop of one's own.
    """
    own = "use the run as it is, hydra_peft.load_run(folder)"
    merged = "export it merged, to=timm"
    if not of_run:
        own = "keep it with hydra_peft.save_adapter(model, folder)"
        merged = "merge(model) and keep model.state_dict()"
    try:
        put_linear_head(merged_copy(model), any_head=not of_run)
    except UserError:
        return own
    return f"{merged}, or {own}"


def unadapted_copy(model: nn.Module) -> nn.Module:
    """Return a copy of an adapted ``model`` with the frozen layers in the places of its adapters,
    in evaluation mode; its head is the trained one."""
    copied = copy_of(model)
    for _, module, adapter in carriers(copied):
        # Adapters that make one out of two left with that one.
        if any(part is module for part in copied.modules()):
            replace_module(copied, module, adapter.base)
    return copied.eval()


@torch.no_grad()
def put_linear_head(model: nn.Module, *, any_head: bool = False) -> None:
    """Write what heads and projections of ours do to features into one linear head, in place.

    A norm by running statistics and a factor are linear in evaluation mode, and so is CLIP's
    projection before the head: afterwards ``model`` has the names and shapes of timm's own.

    Args:
        any_head: whether heads that are none of ours stay as they are.

    Raises:
        UserError: its head is none that one linear layer equals.
    """
    for name in adaptation(model).head:
        head = model.get_submodule(name)
        if isinstance(head, Classifier):
            replace_module(model, head, _folded(head))
        elif not any_head and not isinstance(head, nn.Linear):
            raise UserError(
                f"its head '{name}' is a {type(head).__name__}, and timm's models end in one "
                "linear layer: export to=onnx or to=torch, or use hydra_peft.load_run(folder)."
            )
    if isinstance(model, ProjectedVisionTransformer):
        _fold_projection(model)


def _folded(head: Classifier) -> nn.Linear:
    """Return the linear layer that ``head`` equals in evaluation mode, computed in float64."""
    if isinstance(head.norm, UnitNorm):
        raise UserError(
            "its head divides features by their length (head.norm=unit), which no linear layer "
            "does, and timm's models end in one: export to=onnx or to=torch, or use "
            "hydra_peft.load_run(folder)."
        )
    weight, bias = head.linear.weight.double(), head.linear.bias.double()
    if isinstance(head.norm, nn.BatchNorm1d):
        mean, variance = head.norm.running_mean, head.norm.running_var
        assert mean is not None, "it tracks running statistics"
        assert variance is not None, "it tracks running statistics"
        weight = weight / (variance.double() + head.norm.eps).sqrt()
        bias = bias - weight @ mean.double()
    return _linear(head.scale * weight, head.scale * bias, head.linear.weight)


def _fold_projection(model: Any) -> None:
    projection, head = model.projection, model.head
    weight = head.weight.double() @ projection.weight.double()
    del model.projection
    done = adaptation(model)  # so that saving does not miss it
    seen = {name: held for name, held in done.seen.items() if not name.startswith("projection.")}
    keep_adaptation(model, dataclasses.replace(done, seen=seen))
    model.__class__ = VisionTransformer
    model.head = _linear(weight, head.bias.double(), head.weight)


def _linear(weight: torch.Tensor, bias: torch.Tensor, like: torch.Tensor) -> nn.Linear:
    outputs, width = weight.shape
    layer = nn.Linear(width, outputs, device=like.device, dtype=like.dtype)
    layer.weight.copy_(weight)
    layer.bias.copy_(bias)
    return layer
