"""Single-label classification: cross-entropy over classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from hydra_peft.errors import UserError
from hydra_peft.tasks._base import Task

if TYPE_CHECKING:
    from torch import Tensor


class Classification(Task):
    """Targets are int64 ``[n]``: the number of each example's class."""

    kind: ClassVar[str] = "classification"
    has_hits: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.outputs < 2:
            raise UserError(
                f"dataset.classes={self.outputs}: a classification task has at least 2 classes."
            )

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the cross-entropy of each example, ``[b]``."""
        from torch.nn import functional as F

        return F.cross_entropy(
            outputs, targets, reduction="none", label_smoothing=self.label_smoothing
        )

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Return the softmax over classes, ``[n, classes]``."""
        return outputs.softmax(dim=1)

    def answers(self, probabilities: Tensor, names: Sequence[str]) -> list[str]:
        """Return the name of each example's most probable class."""
        return [names[index] for index in probabilities.argmax(dim=1).tolist()]

    def hits(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return which examples have their largest output at the target, bool ``[b]``."""
        return outputs.argmax(dim=1) == targets

    def check_targets(self, targets: Tensor, name: str) -> None:
        """Check that targets are int64 ``[n]`` below the number of classes."""
        import torch

        if targets.dtype != torch.int64 or targets.ndim != 1:
            raise UserError(
                f"{name} has targets of type {targets.dtype} and shape {tuple(targets.shape)}: a "
                "classification task takes one class number (int64) for each example."
            )
        low, high = int(targets.min()), int(targets.max())
        if low < 0 or high >= self.outputs:
            raise UserError(
                f"{name} has labels from {low} to {high}, but the task has {self.outputs} classes: "
                "labels must lie below it; mend the data or dataset.classes."
            )


TASK = Classification
