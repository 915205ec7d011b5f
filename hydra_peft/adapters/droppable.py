"""Adapters that can be left out of the first layers, in training steps or at evaluation."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from hydra_peft.adapters.block_adapters import SequentialAdapter
from hydra_peft.errors import UserError


class DroppableAdapter(SequentialAdapter):
    """``f + A(f)``, or f alone where the adapter is dropped.

    Attributes:
        dropped_in_training, dropped_in_evaluation: whether it is, in either mode.
    """

    def __init__(self, base: nn.Module, branch: nn.Module) -> None:
        super().__init__(base, branch)
        self.dropped_in_training = self.dropped_in_evaluation = False

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        dropped = self.dropped_in_training if self.training else self.dropped_in_evaluation
        if dropped:
            out: Tensor = self.base(*args, **kwargs)
            return out
        return super().forward(*args, **kwargs)


def droppable(model: nn.Module) -> list[DroppableAdapter]:
    """Return the droppable adapters of ``model``, in the order of its layers."""
    return [module for module in model.modules() if isinstance(module, DroppableAdapter)]


def drop_layers(model: nn.Module, count: int) -> None:
    """Leave the adapters of the first ``count`` layers out at evaluation, and those alone.

    Raises:
        UserError: ``model`` has no adapters that can be dropped, or fewer than ``count``.
    """
    found = droppable(model)
    if not found:
        raise UserError(
            "no adapter of this model can be left out of it: that takes method=adapterdrop with "
            "method.drop=robust."
        )
    if not 0 <= count <= len(found):
        raise UserError(
            f"drop={count}: this model has adapters in {len(found)} layers, so it must be from 0 "
            f"to {len(found)}."
        )
    for index, adapter in enumerate(found):
        adapter.dropped_in_evaluation = index < count
