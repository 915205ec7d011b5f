"""What an adapted model trains, told apart: adapter and head."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from hydra_peft.adaptation.carried import adapters
from hydra_peft.adaptation.heads import belongs_to, find_head
from hydra_peft.adaptation.merging import check_unchanged
from hydra_peft.adaptation.record import adaptation
from hydra_peft.adaptation.wrappers import unwrap
from hydra_peft.errors import UserError


@dataclass(frozen=True)
class TrainableParameters:
    """The trained parameters of a model by name.

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
    """Return what :func:`hydra_peft.inject` made trainable, split into adapter and head.

    It does not depend on what requires a gradient by now. A head that was replaced is the new one.

    Raises:
        UserError: ``model`` has not been adapted, or lost what is trained of it.
    """
    done = adaptation(model)
    model = unwrap(model)
    find_head(model, done.head)  # what was removed is no empty head
    named = dict(model.named_parameters(remove_duplicate=False))
    head: dict[int, tuple[str, nn.Parameter]] = {}
    for name, parameter in named.items():
        if belongs_to(name, done.head) and parameter.is_floating_point():
            head.setdefault(id(parameter), (name, parameter))
    for layer, module in adapters(model):
        named |= {f"{layer}.{name}": p for name, p in module.adapter_parameters()}
    lost = [name for name in done.trained if name not in named]
    if lost:
        raise UserError(
            f"'{lost[0]}' is trained by method '{done.method.name}' and is no parameter of this "
            "model any more: change or quantise a model before inject(), or merge() it first and "
            "go on with the plain model."
        )
    adapter = {name: named[name] for name in done.trained if id(named[name]) not in head}
    return TrainableParameters(adapter, dict(head.values()))


def count_parameters(model: nn.Module) -> ParameterCounts:
    """Count the parameters of an adapted model.

    Raises:
        UserError: ``model`` has not been adapted.
    """
    trained = trainable_parameters(model)
    adapter = sum(p.numel() for p in trained.adapter.values())
    head = sum(p.numel() for p in trained.head.values())
    everything = set(unwrap(model).parameters()).union(trained.adapter.values())
    return ParameterCounts(adapter, head, adapter + head, sum(p.numel() for p in everything))


def adapter_state_dict(model: nn.Module, *, head: bool = True) -> dict[str, Tensor]:
    """Return what training changed: adapter tensors and, unless ``head=False``, the head's.

    Names are the model's own (``blocks.0.attn.proj.parallel.down.weight``); merged or not, they
    are the same. Full fine-tuning returns the whole model, buffers included.

    Raises:
        UserError: ``model`` has not been adapted, lost what is trained of it, or is merged and was
            changed since.
    """
    done = adaptation(model)
    model = unwrap(model)
    check_unchanged(model)
    trained = trainable_parameters(model)
    state: dict[str, Tensor] = {name: p.detach() for name, p in trained.adapter.items()}
    whole = model.state_dict()
    if done.method.trains_backbone:
        state = whole
    head_state = {name: t for name, t in whole.items() if belongs_to(name, done.head)}
    state = {name: tensor for name, tensor in state.items() if name not in head_state}
    return {**state, **head_state} if head else state
