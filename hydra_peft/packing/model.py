"""One model out of those of several runs: shared where they are equal, run by run where not."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from timm.layers.drop import DropPath
from torch import Tensor, nn

from hydra_peft.adaptation.carried import carriers
from hydra_peft.adaptation.record import adaptation
from hydra_peft.adaptation.wrappers import unwrap
from hydra_peft.adapters.linear_adapter import LinearAdapter
from hydra_peft.adapters.surgery import replace_module
from hydra_peft.methods._base import Method
from hydra_peft.packing.layers import Batches, Numbers, PackedLinear, RunByRun

#: what holds parts of each run
_OWN = (PackedLinear, RunByRun)


def why_alone(model: nn.Module) -> str | None:
    """Return why the passes of an adapted model cannot be shared with others; None if they can.

    They can where it differs from its backbone in linear layers and a head alone.
    """
    model = unwrap(model)
    done = adaptation(model)
    method, name = done.method, done.method.name
    if method.trains_backbone:
        return f"{name} trains the backbone, so no product is frozen"
    if type(method).before_step is not Method.before_step:
        return f"{name} changes the model before each step"
    if not all(isinstance(adapter, LinearAdapter) for _, _, adapter in carriers(model)):
        return f"{name} adapts more than linear layers"
    within = tuple(f"{layer}." for layer in done.layers)
    if not all(parameter.startswith(within) for parameter in done.trained):
        return f"{name} trains parameters of the backbone"
    if not done.layers:
        return f"{name} adapts no layer"
    if len(done.head) != 1:
        return "the backbone has more than one head"
    apart = (*within, f"{done.head[0]}.")
    for path, module in model.named_modules():
        if isinstance(module, nn.Dropout) and module.p and not path.startswith(apart):
            return f"{path} drops out features of the backbone"
    return None


class PackedModel:
    """The models of several runs as one, whose frozen parameters are those of the first.

    Args:
        models: adapted, by :func:`why_alone` fit for it, of equal frozen weights and in the same
            mode; they stay as they are, and get the gradients.

    Attributes:
        buffers: of the runs' own layers and heads, which a pass may change, such as statistics.
    """

    def __init__(self, models: Sequence[nn.Module]) -> None:
        models = [unwrap(model) for model in models]
        self._batches = Batches()
        self._model = _sharing_copy(models[0])
        paths = {name: None for model in models for name, _, _ in carriers(model)}
        for path in paths:
            layers = [model.get_submodule(path) for model in models]
            self._put(path, PackedLinear(layers, self._batches))
        heads = [model.get_submodule(adaptation(model).head[0]) for model in models]
        self._heads = RunByRun(heads, self._batches)
        self._put(adaptation(models[0]).head[0], self._heads)
        own = [module for module in self._model.modules() if isinstance(module, _OWN)]
        self.buffers = [buffer for module in own for buffer in module.buffers()]
        for module in list(self._model.modules()):
            if isinstance(module, DropPath) and module.training and module.drop_prob:
                same = RunByRun([module] * len(models), self._batches)
                replace_module(self._model, module, same)

    def _put(self, path: str, module: nn.Module) -> None:
        replace_module(self._model, self._model.get_submodule(path), module)

    def __call__(self, inputs: Sequence[Tensor], numbers: Sequence[Numbers]) -> list[Tensor]:
        """Return the outputs of each run, ``[batch, outputs]``.

        Args:
            inputs: batches of all runs, ``[batch, ...]``, equal but for the number of examples.
            numbers: what each draws from.
        """
        sizes = [len(one) for one in inputs]
        self._batches.begin(sizes, numbers)
        outputs = self._model(torch.cat(list(inputs))).split(sizes)
        return [one[:, :width] for one, width in zip(outputs, self._heads.widths, strict=True)]


def _sharing_copy(model: nn.Module) -> nn.Module:
    """Return a copy of the modules of ``model`` that has the very same tensors."""
    tensors = [*model.parameters(), *model.buffers()]
    return copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})
