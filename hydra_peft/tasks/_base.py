"""The interface of a task: its loss, targets, predictions and metrics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from hydra_peft.errors import UserError
from hydra_peft.metrics import Metric

if TYPE_CHECKING:
    from torch import Tensor  # configs name tasks and must not wait for torch


@dataclass(frozen=True)
class Task(ABC):
    """A kind of task, its metrics, and the width of its head.

    A kind is one module of :mod:`hydra_peft.tasks` that binds its class to ``TASK``.

    Attributes:
        outputs: width of the head.
        metrics: how predictions are scored; the first is the primary one.
        label_smoothing: share of the target's weight that goes to all classes.
    """

    kind: ClassVar[str]
    #: whether an example is either right or wrong
    has_hits: ClassVar[bool] = False
    #: whether outputs are of classes, which have names and probabilities; else they are values
    has_classes: ClassVar[bool] = True

    outputs: int
    metrics: tuple[Metric, ...]
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        if self.outputs < 1:
            raise UserError(f"a {self.kind} task cannot have {self.outputs} outputs.")

    @classmethod
    def kinds(cls) -> tuple[str, ...]:
        """Names of this kind and of those that it is derived from, whose metrics score it too."""
        return tuple(vars(base)["kind"] for base in cls.__mro__ if "kind" in vars(base))

    @property
    def primary(self) -> Metric:
        """The metric that tables print and that selects epochs."""
        return self.metrics[0]

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of each example, ``[b]``.

        Args:
            outputs: ``[b, outputs]`` as the model gives them.
            targets: the batch's.
        """

    @abstractmethod
    def check_targets(self, targets: Tensor, name: str) -> None:
        """Check the targets of a split before training.

        Args:
            name: the split as messages call it.

        Raises:
            UserError: a wrong type, shape or value.
        """

    @abstractmethod
    def probabilities(self, outputs: Tensor) -> Tensor:
        """Return what ``outputs`` say of each example in the user's units, ``[n, outputs]``.

        Probabilities of classes or labels, between 0 and 1; the values themselves in a regression.
        """

    @abstractmethod
    def answers(self, probabilities: Tensor, names: Sequence[str]) -> list[str]:
        """Return in words what is predicted of each example.

        Args:
            probabilities: ``[n, outputs]``, of :meth:`probabilities`.
            names: of the outputs.
        """

    def hits(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return which examples are predicted right, bool ``[b]``; none where ``has_hits`` is
        false."""
        import torch

        return torch.zeros(len(outputs), dtype=torch.bool, device=targets.device)

    def scores(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """Return the value of each metric, by name.

        Args:
            outputs: of all examples, floating point ``[n, outputs]``.
            targets: of all examples.

        Raises:
            UserError: a metric, which may be of another package, gives no value of its own.
        """
        values, truth = outputs.detach().float().cpu().numpy(), targets.cpu().numpy()
        return {metric.name: metric.value(values, truth) for metric in self.metrics}
