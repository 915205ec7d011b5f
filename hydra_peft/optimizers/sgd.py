"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hydra_peft.errors import UserError
from hydra_peft.limits import Share
from hydra_peft.optimizers._base import Optimizer

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class SGD(Optimizer):
    """SGD in torch's fused form.

    Attributes:
        momentum: share of the last step's direction that is kept.
        nesterov: look ahead along it (Sutskever et al., ICML 2013).
    """

    name: ClassVar[str] = "sgd"
    momentum: Share
    nesterov: bool

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.nesterov and self.momentum == 0:
            raise UserError(
                "optimizer.nesterov=true looks ahead along the momentum, but optimizer.momentum=0: "
                "set optimizer.momentum=0.9, or optimizer.nesterov=false."
            )

    def build(self, parameters: Sequence[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """Return :class:`torch.optim.SGD` over ``parameters``."""
        import torch

        return torch.optim.SGD(
            list(parameters),
            lr=self.lr,
            weight_decay=self.weight_decay,
            momentum=self.momentum,
            nesterov=self.nesterov,
            fused=True,
        )


OPTIMIZER = SGD
