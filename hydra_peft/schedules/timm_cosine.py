"""Cosine decay, moved at each epoch by timm's scheduler as the released code calls it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hydra_peft.errors import UserError
from hydra_peft.schedules._base import EndRate, Epochs, LearningRate, Schedule


@dataclass(frozen=True)
class TimmCosine(Schedule):
    """timm's ``CosineLRScheduler``, stepped with the 0-based epoch after each epoch.

    So extremebird/Hydra (``vtab1k``) does: the first two epochs run at ``warmup_lr``, and the
    cosine counts from epoch 0 although the warm-up takes its beginning. Its period there is 500
    epochs, of which 100 are run.

    Attributes:
        min_lr: learning rate that the cosine ends at.
        period_epochs: length of the cosine; None is the training's.
    """

    name: ClassVar[str] = "timm_cosine"
    min_lr: EndRate
    period_epochs: Epochs | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.warmup_ratio:
            raise UserError(
                f"scheduler.warmup_ratio={self.warmup_ratio} is of schedules that move by steps, "
                f"and {self.name} moves by epochs: set scheduler.warmup_epochs."
            )

    def rates(self, lr: float, epochs: int) -> LearningRate:
        """Return the learning rate of each epoch, the same for all its steps."""
        import torch
        from timm.scheduler.cosine_lr import CosineLRScheduler

        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
        scheduler = CosineLRScheduler(
            optimizer,
            t_initial=self.period_epochs or epochs,
            warmup_t=self.warmup_epochs,
            lr_min=self.min_lr,
            warmup_lr_init=self.warmup_lr,
            cycle_decay=0.1,
        )
        by_epoch = []
        for epoch in range(epochs):
            by_epoch.append(float(optimizer.param_groups[0]["lr"]))
            scheduler.step(epoch)
        return lambda epoch, _step, _steps: by_epoch[epoch]

    def ends(self) -> dict[str, float]:
        """Return both ends."""
        return {"min_lr": self.min_lr, **super().ends()}


SCHEDULE = TimmCosine
