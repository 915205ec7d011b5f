"""The one door through which every method enters a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from hydra_peft.adaptation.heads import belongs_to, find_head
from hydra_peft.errors import UserError
from hydra_peft.methods import build_method
from hydra_peft.methods._base import Method

_ATTRIBUTE = "_hydra_peft_adaptation"


@dataclass(frozen=True)
class Adaptation:
    """What was done to a model.

    Attributes:
        method: the method with its options.
        layers: names of the layers that carry an adapter.
        head: names of the head's modules.
    """

    method: Method
    layers: tuple[str, ...]
    head: tuple[str, ...]

    def __str__(self) -> str:
        head = ", ".join(self.head) or "none"
        where = ", ".join(self.layers) or "no layer"
        return f"{self.method.label} on {len(self.layers)} layers ({where}); head: {head}"


def inject(
    model: nn.Module,
    method: str | Method = "hydra",
    *,
    head: str | Sequence[str] | None = None,
    **options: Any,
) -> Adaptation:
    """Freeze ``model``, apply a fine-tuning method to it in place, and leave its head trainable.

    Args:
        model: any module with ``nn.Linear`` layers.
        method: ``lora``, ``seqlora``, ``hydra``, ``linear``, ``full`` or a built method.
        head: name or names of the head; None finds it, ``()`` says that there is none.
        **options: the method's options, such as ``targets=['mlp.fc2'], rank=4, scale=2.0``.

    Returns:
        What was done: the method, the adapted layers, the head; printing it says so.

    Raises:
        UserError: an unknown method or option, a pattern without a linear layer, a rank that does
            not fit, or a model that has been adapted before. The model is then as it was.
    """
    if getattr(model, _ATTRIBUTE, None) is not None:
        raise UserError(
            f"this model already carries '{adaptation(model).method.label}': start from a fresh "
            "backbone, or merge and keep the merged weights in one."
        )
    if isinstance(method, str):
        method = build_method(method, **options)
    elif options:
        raise UserError(f"options {sorted(options)} go with a method's name, not with a built one.")
    head_names = find_head(model, head)
    trainable_before = {p: p.requires_grad for p in model.parameters()}
    try:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(belongs_to(name, head_names))
        layers = method.apply(model, head_names)
    except BaseException:
        for parameter, trainable in trainable_before.items():
            parameter.requires_grad_(trainable)
        raise
    done = Adaptation(method, tuple(layers), head_names)
    object.__setattr__(model, _ATTRIBUTE, done)
    return done


def adaptation(model: nn.Module) -> Adaptation:
    """Return what :func:`inject` did to ``model``.

    Raises:
        UserError: ``model`` has not been adapted.
    """
    done: Adaptation | None = getattr(model, _ATTRIBUTE, None)
    if done is None:
        raise UserError(f"this {type(model).__name__} carries no adapter: call inject() first.")
    return done


def set_training_mode(model: nn.Module) -> None:
    """Put ``model`` into training mode as its method wants it (linear probing: head only).

    Where the backbone is frozen so are the running statistics of its normalisation layers (batch
    normalisation): they are no part of what is saved, and a layer that moves them trains.
    """
    done = adaptation(model)
    model.train(not done.method.backbone_in_eval)
    if not done.method.trains_backbone:
        for module in model.modules():
            if has_running_statistics(module):
                module.eval()
    for name in done.head:
        model.get_submodule(name).train()


def has_running_statistics(module: nn.Module) -> bool:
    """Whether ``module`` normalises by what it has seen of batches so far."""
    return isinstance(module, nn.modules.batchnorm._NormBase) and module.track_running_stats
