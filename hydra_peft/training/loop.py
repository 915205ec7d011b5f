"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.profiler import record_function
from torch.nn import functional as F

from hydra_peft.data.splits import ImageSplit, to_tensor
from hydra_peft.training.batches import Prepare, batch_count, shuffled_rows
from hydra_peft.training.devices import autocast
from hydra_peft.training.schedule import LearningRate


class DivergedError(RuntimeError):
    """The loss stopped being a finite number; ``epoch`` is the first such epoch, from 1."""

    def __init__(self, epoch: int, loss: float) -> None:
        super().__init__(f"the loss became {loss} in epoch {epoch}: lower optimizer.lr")
        self.epoch = epoch


@dataclass(frozen=True)
class EpochRecord:
    """One epoch: mean training loss and accuracy (percent), the last step's learning rate."""

    epoch: int
    loss: float
    train_accuracy: float
    lr: float
    seconds: float
    images_per_second: float


def train(
    model: nn.Module,
    split: ImageSplit,
    *,
    epochs: int,
    batch_size: int,
    drop_last: bool,
    clip_grad: float | None,
    label_smoothing: float,
    optimizer: torch.optim.Optimizer,
    learning_rate: LearningRate,
    prepare: Prepare,
    order: torch.Generator,
    device: torch.device,
    precision: str,
    before_epoch: Callable[[], None],
    after_step: Callable[[Tensor], None],
    after_epoch: Callable[[EpochRecord], None],
) -> None:
    """Train the parameters that ``optimizer`` holds, in place.

    Args:
        model: on ``device``.
        split: training images (or features of them) on ``device``.
        clip_grad: largest gradient norm, or None.
        prepare: from images and the positions of a batch to the model's input.
        order: generator of the batch order.
        learning_rate: from epoch, step and steps per epoch to the rate of that step.
        before_epoch: puts the model into training mode.
        after_step: called after each step with its loss, which is still on ``device``.
        after_epoch: called with each epoch's record; it may evaluate the model.

    Raises:
        DivergedError: the loss of an epoch is not finite.
    """
    steps = batch_count(len(split), batch_size, drop_last)
    images = to_tensor(split)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for epoch in range(epochs):
        before_epoch()
        started = time.perf_counter()
        # Sums stay on the device: reading one each step would stop a GPU each step.
        loss_sum = torch.zeros((), device=device)
        correct = torch.zeros((), dtype=torch.int64, device=device)
        seen, lr = 0, 0.0
        batches = shuffled_rows(len(split), batch_size, order, drop_last=drop_last, device=device)
        for step, rows in enumerate(batches):
            labels = split.labels[rows]
            lr = learning_rate(epoch, step, steps)
            for group in optimizer.param_groups:
                group["lr"] = lr
            with record_function("batch"):
                inputs = prepare(images, rows)
            with record_function("forward"), autocast(device, precision):
                logits = model(inputs)
                loss = F.cross_entropy(logits, labels, label_smoothing=label_smoothing)
            with record_function("backward"):
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
            with record_function("optimizer"):
                if clip_grad is not None:
                    nn.utils.clip_grad_norm_(parameters, clip_grad)
                optimizer.step()
            loss_sum += loss.detach().float() * len(labels)
            correct += (logits.detach().argmax(dim=1) == labels).sum()
            seen += len(labels)
            after_step(loss.detach())
        mean_loss = loss_sum.item() / seen
        if not math.isfinite(mean_loss):
            raise DivergedError(epoch + 1, mean_loss)
        seconds = time.perf_counter() - started
        accuracy = 100.0 * correct.item() / seen
        after_epoch(EpochRecord(epoch + 1, mean_loss, accuracy, lr, seconds, seen / seconds))
