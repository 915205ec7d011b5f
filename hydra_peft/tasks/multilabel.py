"""Multi-label classification: any number of classes for each example."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from hydra_peft.errors import UserError
from hydra_peft.tasks._base import Task

if TYPE_CHECKING:
    from torch import Tensor


class Multilabel(Task):
    """Targets are bool ``[n, classes]``: which classes each example has."""

    kind: ClassVar[str] = "multilabel"

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the binary cross-entropy of each example, its mean over classes, ``[b]``."""
        from torch.nn import functional as F

        wanted = targets.to(outputs.dtype)
        if self.label_smoothing:
            wanted = wanted * (1 - self.label_smoothing) + 0.5 * self.label_smoothing
        each = F.binary_cross_entropy_with_logits(outputs, wanted, reduction="none")
        return each.mean(dim=1)

    def probabilities(self, outputs: Tensor) -> Tensor:
        """Return the sigmoid of each label, ``[n, classes]``; they add up to nothing."""
        return outputs.sigmoid()

    def answers(self, probabilities: Tensor, names: Sequence[str]) -> list[str]:
        """Return the labels of each example that are more likely than not, joined by ``; ``."""
        return [
            "; ".join(name for name, there in zip(names, row, strict=True) if there)
            for row in (probabilities > 0.5).tolist()
        ]

    def check_targets(self, targets: Tensor, name: str) -> None:
        """Check that targets are bool ``[n, classes]``."""
        import torch

        if targets.dtype != torch.bool or targets.shape[1:] != (self.outputs,):
            raise UserError(
                f"{name} has targets of type {targets.dtype} and shape {tuple(targets.shape)}: a "
                f"multi-label task of {self.outputs} classes takes bool [n, {self.outputs}]."
            )


TASK = Multilabel
