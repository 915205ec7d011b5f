"""The interface of a learning rate schedule."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Annotated, Any, ClassVar

from hydra_peft.errors import UserError
from hydra_peft.limits import Limits, Share, check_limits

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
        warmup_ratio: share of all steps that the warm-up takes, rounded up as transformers does, in
            the place of ``warmup_epochs``.
    """

    name: ClassVar[str]
    #: options that came later, with what held before: identities leave them out where it does
    added: ClassVar[Mapping[str, Any]] = MappingProxyType({"warmup_ratio": 0.0})

    warmup_epochs: WarmupEpochs
    warmup_lr: EndRate
    warmup_ratio: Share = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        check_limits(type(self), vars(self), "scheduler.")
        if self.warmup_ratio and self.warmup_epochs:
            raise UserError(
                f"scheduler.warmup_ratio={self.warmup_ratio} and scheduler.warmup_epochs="
                f"{self.warmup_epochs} both say how long the warm-up is: set one of them to 0."
            )

    @abstractmethod
    def rates(self, lr: float, epochs: int) -> LearningRate:
        """Return the learning rate at each step of ``epochs`` epochs, with its peak at ``lr``."""

    def ends(self) -> dict[str, float]:
        """Return the rates by option that may not lie above the peak."""
        warms_up = self.warmup_epochs or self.warmup_ratio
        return {"warmup_lr": self.warmup_lr} if warms_up else {}

    def identity(self) -> dict[str, Any]:
        """Return name and options, as a run's identity hashes them."""
        options = asdict(self)
        kept = {k: v for k, v in options.items() if k not in self.added or v != self.added[k]}
        return {"name": self.name, **kept}
