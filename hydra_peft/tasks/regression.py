"""Regression of one value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from hydra_peft.errors import UserError
from hydra_peft.tasks._base import Task

if TYPE_CHECKING:
    from torch import Tensor


class Regression(Task):
    """Targets are float32 ``[n]``."""

    kind: ClassVar[str] = "regression"
    has_classes: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.outputs != 1 or self.label_smoothing:
            raise UserError(
                f"a regression task has one output and no label smoothing, not {self.outputs} and "
                f"{self.label_smoothing}: set dataset.classes=1 and train.label_smoothing=0."
            )

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the squared error of each example, ``[b]``."""
        from torch.nn import functional as F

        return F.mse_loss(outputs.squeeze(1), targets, reduction="none")

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Return the values themselves, ``[n, 1]``."""
        return outputs

    def answers(self, probabilities: Tensor, names: Sequence[str]) -> list[str]:  # noqa: ARG002
        """Return each value in six digits."""
        return [f"{value:.6g}" for value in probabilities[:, 0].tolist()]

    def check_targets(self, targets: Tensor, name: str) -> None:
        """Check that targets are finite float32 ``[n]``."""
        import torch

        if targets.dtype != torch.float32 or targets.ndim != 1 or not targets.isfinite().all():
            raise UserError(
                f"{name} has targets of type {targets.dtype} and shape {tuple(targets.shape)}: a "
                "regression task takes one finite float32 value for each example."
            )


TASK = Regression
