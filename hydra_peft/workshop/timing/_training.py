"""Training as runs do it, for suites that time all of it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hydra_peft.adaptation.injection import set_training_mode
from hydra_peft.data.split import Split
from hydra_peft.optimizers.adamw import AdamW
from hydra_peft.tasks import Task, build_task
from hydra_peft.training.batches import Prepare
from hydra_peft.training.loop import train


def adamw(model: nn.Module, *, lr: float = 1e-4) -> torch.optim.Optimizer:
    """Return a run's optimizer over what ``model`` trains, with the decay of VTAB-1k's recipe."""
    trained = [p for p in model.parameters() if p.requires_grad]
    return AdamW(lr, weight_decay=1e-4, betas=[0.9, 0.999], eps=1e-8).build(trained)


def top1(classes: int) -> Task:
    """Return the task of every suite: classification, scored by accuracy."""
    return build_task("classification", outputs=classes, metrics=["accuracy"])


def train_all(
    model: nn.Module,
    split: Split,
    optimizer: torch.optim.Optimizer,
    *,
    epochs: int,
    batch_size: int,
    prepare: Prepare,
    device: torch.device,
    precision: str,
    drop_last: bool = False,
    order: torch.Generator | None = None,
    after_step: Callable[[Tensor], None] = lambda _: None,
) -> None:
    """Train an adapted model at the optimizer's own rate, without clipping and without scoring.

    Args:
        split: training images on ``device``.
        order: generator of the batch order; None is one from 0.
        after_step: called after each step with its loss.
    """
    lr = float(optimizer.param_groups[0]["lr"])
    train(
        model,
        top1(int(split.targets.max()) + 1),
        split,
        epochs=epochs,
        batch_size=batch_size,
        drop_last=drop_last,
        clip_grad=None,
        optimizer=optimizer,
        learning_rate=lambda *_: lr,
        prepare=prepare,
        order=order or torch.Generator().manual_seed(0),
        device=device,
        precision=precision,
        before_epoch=lambda: set_training_mode(model),
        after_step=after_step,
        after_epoch=lambda _: None,
    )
