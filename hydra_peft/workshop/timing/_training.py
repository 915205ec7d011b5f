"""Training as runs do it, for suites that time all of it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hydra_peft.data.split import Split
from hydra_peft.optimizers.adamw import AdamW
from hydra_peft.tasks import Task, build_task
from hydra_peft.training.batches import Feed, Prepare
from hydra_peft.training.loop import Recipe, train
from hydra_peft.training.progress import Step


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
    precision: str,
    drop_last: bool = False,
    seed: int = 0,
) -> list[Tensor]:
    """Train an adapted model at the optimizer's own rate, without clipping and without scoring.

    Args:
        split: training images on the model's device.
        seed: of the batch order and of dropout.

    Returns:
        The loss of each step, on the device.
    """
    lr = float(optimizer.param_groups[0]["lr"])
    recipe = Recipe(
        epochs, batch_size, drop_last, learning_rate=lambda *_: lr, precision=precision, seed=seed
    )
    task = top1(int(split.targets.max()) + 1)
    steps = train(model, task, Feed(model, split, split, prepare), recipe, optimizer=optimizer)
    return [step.loss for step in steps if isinstance(step, Step)]
