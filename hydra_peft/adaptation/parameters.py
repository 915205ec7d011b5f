"""Trainable parameters of an adapted model, adapter and head apart: names, counts, state dict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from hydra_peft.adaptation.carried import carriers, tensors_by_name
from hydra_peft.adaptation.heads import belongs_to, find_head
from hydra_peft.adaptation.merging import check_unchanged
from hydra_peft.adaptation.record import Adaptation, adaptation
from hydra_peft.adaptation.wrappers import unwrap
from hydra_peft.errors import UserError
from hydra_peft.tensor_values import is_sound


@dataclass(frozen=True)
class TrainableParameters:
    """The trained parameters of a model: by name in two parts, and all of them for an optimizer.

    Iterating gives the parameters without names, as ``torch.optim.AdamW(trained)`` takes them.

    Attributes:
        adapter: what the method trains beside the head; for full fine-tuning the backbone.
        head: the head's parameters.
    """

    adapter: dict[str, nn.Parameter]
    head: dict[str, nn.Parameter]

    def __iter__(self) -> Iterator[nn.Parameter]:
        """Yield every parameter once, the adapter's before the head's."""
        yield from self.adapter.values()
        yield from self.head.values()

    def __len__(self) -> int:
        """Number of parameter tensors, not of scalars (:func:`count_parameters`)."""
        return len(self.adapter) + len(self.head)


@dataclass(frozen=True)
class ParameterCounts:
    """Numbers of scalar parameters: adapter + head = trainable; total counts the whole model."""

    adapter: int
    head: int
    trainable: int
    total: int


def trainable_parameters(model: nn.Module) -> TrainableParameters:
    """Return the parameters of ``model`` to train: those of adapter and head, by name.

    ``torch.optim.AdamW(trainable_parameters(model))`` trains them all; ``.adapter`` and ``.head``
    are dictionaries. They are what :func:`hydra_peft.inject` made trainable, whatever requires a
    gradient by now. A head that was replaced is the new one.

    Raises:
        UserError: ``model`` has not been adapted, lost what is trained of it, or is merged: then
            its adapters take no part in what it computes, and would not be trained.
    """
    model = unwrap(model)
    trained = trained_parameters(model)
    if any(module is not adapter for _, module, adapter in carriers(model)):
        raise UserError("this model is merged, so its adapters cannot be trained: unmerge() first.")
    return trained


def trained_parameters(model: nn.Module) -> TrainableParameters:
    """Return the parameters of :func:`trainable_parameters`, also of a merged model.

    Raises:
        UserError: ``model`` has not been adapted, or lost what is trained of it.
    """
    model = unwrap(model)
    return _trained(model, adaptation(model), tensors_by_name(model))


def _trained(model: nn.Module, done: Adaptation, tensors: dict[str, Tensor]) -> TrainableParameters:
    find_head(model, done.head)  # what was removed is no empty head
    named = _parameters(tensors)
    if lazy := next((name for name, parameter in named.items() if is_lazy(parameter)), None):
        raise UserError(
            f"'{lazy}' has no shape yet (a lazy layer): pass one batch through the model first."
        )
    head: dict[int, tuple[str, nn.Parameter]] = {}
    for name, parameter in named.items():
        if belongs_to(name, done.head) and parameter.is_floating_point():
            head.setdefault(id(parameter), (name, parameter))
    lost = [name for name in done.trained if name not in named]
    if lost:
        raise UserError(
            f"'{lost[0]}' is trained by method '{done.method.name}' and is no parameter of this "
            "model any more: change or quantise a model before inject(), or merge() it first and "
            "go on with the plain model."
        )
    for first, *others in done.shared:
        if apart := [name for name in others if named.get(name) is not named.get(first)]:
            raise UserError(
                f"'{first}' and '{apart[0]}' were one parameter of method '{done.method.name}', "
                "and are two by now (to_empty(), load_state_dict with assign=True, or a part of a "
                "merged model was cast by itself): make them one again, cast the model as a "
                "whole, or load the saved adapter on a fresh model."
            )
    adapter = {name: named[name] for name in done.trained if id(named[name]) not in head}
    return TrainableParameters(adapter, dict(head.values()))


def count_parameters(model: nn.Module) -> ParameterCounts:
    """Count the parameters of an adapted model.

    Raises:
        UserError: ``model`` has not been adapted.
    """
    model = unwrap(model)
    tensors = tensors_by_name(model)
    trained = _trained(model, adaptation(model), tensors)
    adapter = sum(p.numel() for p in trained.adapter.values())
    head = sum(p.numel() for p in trained.head.values())
    total = sum(p.numel() for p in set(_parameters(tensors).values()))
    return ParameterCounts(adapter, head, adapter + head, total)


def _parameters(tensors: dict[str, Tensor]) -> dict[str, nn.Parameter]:
    return {n: t for n, t in tensors.items() if isinstance(t, nn.Parameter)}


def adapter_state_dict(model: nn.Module, *, head: bool = True) -> dict[str, Tensor]:
    """Return the state dict of everything beyond the frozen backbone: adapter tensors, the
    backbone's own parameters that the method trains and, unless ``head=False``, the head's.

    Names are the model's own (``blocks.0.attn.proj.parallel.down.weight``); merged or not, they
    are the same, and what modules share comes once, under its first name. Full fine-tuning returns
    the whole model, buffers included.

    Raises:
        UserError: ``model`` has not been adapted, lost what is trained of it, or is merged and was
            changed since.
    """
    model = unwrap(model)
    done = adaptation(model)
    check_unchanged(model)
    tensors = tensors_by_name(model)
    names = (*_trained(model, done, tensors).adapter, *done.fixed)
    state = {name: tensors[name].detach() for name in names}
    whole = {name: t for name, t in model.state_dict().items() if isinstance(t, Tensor)}
    if done.method.trains_backbone:
        state = whole
    head_state = {name: t for name, t in whole.items() if belongs_to(name, done.head)}
    state = {name: tensor for name, tensor in state.items() if name not in head_state}
    return {**state, **head_state} if head else state


def broken_tensor(model: nn.Module) -> str | None:
    """Return the name of a tensor of :func:`adapter_state_dict` that cannot be computed with.

    That is one with NaN or, in a parameter, infinite values; None where there is none.
    """
    model = unwrap(model)
    state = adapter_state_dict(model)
    # Those of merged adapters are in none of the model's modules.
    named = tensors_by_name(model).items()
    buffers = {name for name, tensor in named if not isinstance(tensor, nn.Parameter)}
    return next((n for n, t in state.items() if not is_sound(t, mask=n in buffers)), None)
