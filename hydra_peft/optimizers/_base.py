"""The interface of an optimizer: options that a config sets, and what they build."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from hydra_peft.limits import LearningRate, Limits, check_limits

if TYPE_CHECKING:
    import torch  # configs name optimizers and must not wait for torch

#: ELEVATER's search tries decays of up to 1e6
WeightDecay = Annotated[float, Limits(least=0, most=1e6, logarithmic=True)]


@dataclass(frozen=True)
class Optimizer(ABC):
    """``optimizer``: how parameters move, over adapter and head as one group.

    An optimizer is one module of :mod:`hydra_peft.optimizers` that binds its class to
    ``OPTIMIZER``, and one yaml in ``conf/optimizer``.

    Attributes:
        lr: the peak that the schedule rises to.
        weight_decay: applied to every parameter, biases too, as the released code does.
    """

    name: ClassVar[str]

    lr: LearningRate
    weight_decay: WeightDecay

    def __post_init__(self) -> None:
        check_limits(type(self), vars(self), "optimizer.")

    @abstractmethod
    def build(self, parameters: Sequence[torch.nn.Parameter]) -> torch.optim.Optimizer:
        """Return the torch optimizer over ``parameters``."""

    def identity(self) -> dict[str, Any]:
        """Return name and options, as a run's identity hashes them."""
        return {"name": self.name, **asdict(self)}
