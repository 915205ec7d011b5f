"""What an adapted model trains, told apart: adapter and head."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from hydra_peft.adaptation.heads import belongs_to
from hydra_peft.adaptation.injection import adaptation
from hydra_peft.adaptation.merging import adapters


@dataclass(frozen=True)
class TrainableParameters:
    """The trainable parameters of a model by name.

    Attributes:
        adapter: what the method trains beside the head; for full fine-tuning the backbone.
        head: the head's parameters.
    """

    adapter: dict[str, nn.Parameter]
    head: dict[str, nn.Parameter]


@dataclass(frozen=True)
class ParameterCounts:
    """Numbers of scalar parameters: adapter + head = trainable; total counts the whole model."""

    adapter: int
    head: int
    trainable: int
    total: int


def trainable_parameters(model: nn.Module) -> TrainableParameters:
    """Return the trainable parameters of an adapted model, split into adapter and head.

    Raises:
        UserError: ``model`` has not been adapted.
    """
    done = adaptation(model)
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    for layer, adapter in adapters(model):
        for name, parameter in adapter.adapter_parameters():
            named.setdefault(f"{layer}.{name}", parameter)
    head = {name: p for name, p in named.items() if belongs_to(name, done.head)}
    return TrainableParameters({n: p for n, p in named.items() if n not in head}, head)


def count_parameters(model: nn.Module) -> ParameterCounts:
    """Count the parameters of an adapted model.

    Raises:
        UserError: ``model`` has not been adapted.
    """
    trained = trainable_parameters(model)
    adapter = sum(p.numel() for p in trained.adapter.values())
    head = sum(p.numel() for p in trained.head.values())
    everything = set(model.parameters()).union(trained.adapter.values())
    return ParameterCounts(adapter, head, adapter + head, sum(p.numel() for p in everything))


def adapter_state_dict(model: nn.Module, *, head: bool = True) -> dict[str, Tensor]:
    """Return what training changed: adapter tensors and, unless ``head=False``, the head's.

    Names are the model's own (``blocks.0.attn.proj.parallel.down.weight``); merged or not, they
    are the same. Full fine-tuning returns the whole model, buffers included.

    Raises:
        UserError: ``model`` has not been adapted.
    """
    done = adaptation(model)
    trained = trainable_parameters(model)
    state: dict[str, Tensor] = {name: p.detach() for name, p in trained.adapter.items()}
    if done.method.trains_backbone:
        persistent = set(model.state_dict())
        state |= {name: b for name, b in model.named_buffers() if name in persistent}
    head_state: dict[str, Tensor] = {}
    for top in done.head:
        model.get_submodule(top).state_dict(destination=head_state, prefix=f"{top}.")
    state = {name: tensor for name, tensor in state.items() if name not in head_state}
    return {**state, **head_state} if head else state
