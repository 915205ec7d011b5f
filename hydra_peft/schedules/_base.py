"""The interface of a learning rate schedule."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated, Any, ClassVar

from hydra_peft.limits import Limits, check_limits

#: from epoch and step within it (both from 0) and steps per epoch to the learning rate
LearningRate = Callable[[int, int, int], float]
#: the most is what nobody means: a slip of the keyboard would take for ever
Epochs = Annotated[int, Limits(least=1, most=1_000_000)]
WarmupEpochs = Annotated[int, Limits(least=0, most=1_000_000)]
#: a rate at an end of a schedule
EndRate = Annotated[float, Limits(least=0, most=1e6, logarithmic=True)]


@dataclass(frozen=True)
class Schedule(ABC):
    """``scheduler``: the learning rate of each step.

    A schedule is one module of :mod:`hydra_peft.schedules` that binds its class to ``SCHEDULE``,
    and one yaml in ``conf/scheduler``.

    Attributes:
        warmup_epochs: length of the warm-up, part of ``train.epochs``.
        warmup_lr: learning rate at the first step.
    """

    name: ClassVar[str]

    warmup_epochs: WarmupEpochs
    warmup_lr: EndRate

    def __post_init__(self) -> None:
        check_limits(type(self), vars(self), "scheduler.")

    @abstractmethod
    def rates(self, lr: float, epochs: int) -> LearningRate:
        """Return the learning rate at each step of ``epochs`` epochs, with its peak at ``lr``."""

    def ends(self) -> dict[str, float]:
        """Return the rates by option that may not lie above the peak."""
        return {"warmup_lr": self.warmup_lr} if self.warmup_epochs else {}

    def identity(self) -> dict[str, Any]:
        """Return name and options, as a run's identity hashes them."""
        return {"name": self.name, **asdict(self)}
