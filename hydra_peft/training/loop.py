"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice

import torch
from torch import Tensor, nn
from torch.autograd.profiler import record_function

from hydra_peft.data.split import Split
from hydra_peft.schedules import LearningRate
from hydra_peft.tasks import Task
from hydra_peft.training.batches import Prepare, batch_count, shuffled_rows
from hydra_peft.training.devices import autocast, exact_float32
from hydra_peft.training.distributed import World


class DivergedError(RuntimeError):
    """The loss stopped being a finite number, first in ``step`` of ``epoch``, both from 1."""

    def __init__(self, epoch: int, step: int, loss: float) -> None:
        super().__init__(
            f"the loss became {loss} in epoch {epoch}, step {step}: lower optimizer.lr"
        )
        self.epoch = epoch
        self.step = step


@dataclass(frozen=True)
class EpochRecord:
    """One epoch: mean training loss and accuracy (percent), the last step's learning rate.

    The accuracy is None where examples are not right or wrong, as in regression.
    """

    epoch: int
    loss: float
    train_accuracy: float | None
    lr: float
    seconds: float
    images_per_second: float


@dataclass
class Progress:
    """How far training has come; filled in by :func:`train`, step by step.

    With the model, the optimizer and the global random states this is all that training depends
    on: with them as they were after any step, :func:`train` goes on as if it had never stopped.

    Attributes:
        epoch: epochs that are over, records and scores included.
        step: steps done in the epoch after them.
        seen: images seen in these.
        order: state of the generator of the batch order at the beginning of the epoch; None
            between epochs.
        loss_sum: their summed loss, float32, on the device.
        correct: how many of them were right, int64, on the device.
        losses: loss of each step, float32 ``[steps]``, zero where it is still to come.
    """

    epoch: int = 0
    step: int = 0
    seen: int = 0
    order: Tensor | None = None
    loss_sum: Tensor = field(default_factory=lambda: torch.zeros(()))
    correct: Tensor = field(default_factory=lambda: torch.zeros((), dtype=torch.int64))
    losses: Tensor = field(default_factory=lambda: torch.zeros(0))
    _seconds: float = 0.0
    _since: float | None = None

    def begin_epoch(self, order: Tensor, steps: int, device: torch.device) -> None:
        """Set everything about the epoch to its beginning."""
        # Sums stay on the device: reading one each step would stop a GPU each step.
        self.loss_sum = torch.zeros((), device=device)
        self.correct = torch.zeros((), dtype=torch.int64, device=device)
        self.losses = torch.zeros(steps, device=device)
        self.step, self.seen, self.order = 0, 0, order
        self._seconds, self._since = 0.0, None

    def add(self, loss: Tensor, right: Tensor, count: int) -> None:
        """Take note of a step: its mean loss, the number of right answers, of images."""
        self.losses[self.step] = loss
        self.loss_sum += loss.float() * count
        self.correct += right
        self.seen += count
        self.step += 1

    def end_epoch(self) -> None:
        """Go to the beginning of the next epoch."""
        self.epoch, self.step, self.seen, self.order = self.epoch + 1, 0, 0, None

    @property
    def seconds(self) -> float:
        """Seconds that the steps of this epoch took, in all processes that did them."""
        running = 0.0 if self._since is None else time.perf_counter() - self._since
        return self._seconds + running

    @seconds.setter
    def seconds(self, value: float) -> None:
        self._seconds, self._since = value, None

    def start_clock(self) -> None:
        """Count the seconds from now on."""
        self._since = time.perf_counter()

    def stop_clock(self) -> None:
        """Count no seconds until :meth:`start_clock`."""
        self.seconds = self.seconds

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Within it the clock stands still."""
        running = self._since is not None
        self.stop_clock()
        yield
        if running:
            self.start_clock()

    def mean_loss(self) -> float:
        """Return the mean loss of the images seen in this epoch.

        Raises:
            DivergedError: it is not finite.
        """
        mean = self.loss_sum.item() / self.seen
        if math.isfinite(mean):
            return mean
        bad = (~torch.isfinite(self.losses)).nonzero()
        if len(bad) == 0:
            raise DivergedError(self.epoch + 1, self.step, mean)  # only the sum is too large
        first = int(bad[0])
        raise DivergedError(self.epoch + 1, first + 1, self.losses[first].item())


@exact_float32()
def train(
    model: nn.Module,
    task: Task,
    split: Split,
    *,
    epochs: int,
    batch_size: int,
    drop_last: bool,
    clip_grad: float | None,
    optimizer: torch.optim.Optimizer,
    learning_rate: LearningRate,
    prepare: Prepare,
    order: torch.Generator,
    device: torch.device,
    precision: str,
    before_epoch: Callable[[], None],
    after_step: Callable[[Tensor], None],
    after_epoch: Callable[[EpochRecord], None],
    before_step: Callable[[int], None] | None = None,
    progress: Progress | None = None,
    world: World | None = None,
) -> None:
    """Train the parameters that ``optimizer`` holds, in place.

    Args:
        model: on ``device``.
        task: says how wrong an output is.
        split: training examples, in memory of ``device``.
        clip_grad: largest gradient norm, or None.
        prepare: from a batch to the model's input.
        order: generator of the batch order.
        learning_rate: from epoch, step and steps per epoch to the rate of that step.
        before_epoch: puts the model into training mode.
        after_step: called after each step with its loss, which is still on ``device``.
        after_epoch: called with each epoch's record; it may evaluate the model.
        before_step: called before each step with its number, from 0 over all epochs.
        progress: filled in as training goes on, and up to date whenever ``after_step`` or
            ``after_epoch`` is called. One that is not new continues from there; the generator
            ``order`` is then set from it.
        world: the processes that train together: ``split``, ``order`` and ``batch_size`` are the
            same in all of them, each computes its share of every batch, and ``progress`` is of
            whole batches. None is this one alone.

    Raises:
        DivergedError: the loss of an epoch is not finite.
    """
    steps = batch_count(len(split), batch_size, drop_last)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    progress, world = progress or Progress(), world or World()
    while (epoch := progress.epoch) < epochs:
        before_epoch()
        if progress.order is None:
            progress.begin_epoch(order.get_state(), steps, device)
        else:
            order.set_state(progress.order)
        progress.start_clock()
        batches = shuffled_rows(len(split), batch_size, order, drop_last=drop_last, device=device)
        for rows in islice(batches, progress.step, None):
            if before_step is not None:
                before_step(epoch * steps + progress.step)
            share = world.share(rows)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(epoch, progress.step, steps)
            with record_function("batch"):
                batch = split.take(share.rows)
                inputs = prepare(batch)
            with record_function("forward"), autocast(device, precision):
                outputs = model(inputs)
                loss = share.weigh(task.loss(outputs, batch.targets).mean())
            with record_function("backward"):
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
            right = task.hits(outputs.detach(), batch.targets)[: share.count].sum()
            with record_function("gradients of all processes"):
                loss, right = world.add_up(parameters, loss.detach(), right)
            with record_function("optimizer"):
                if clip_grad is not None:
                    nn.utils.clip_grad_norm_(parameters, clip_grad)
                optimizer.step()
            progress.add(loss, right, len(rows))
            after_step(loss)
        mean_loss = progress.mean_loss()
        progress.stop_clock()
        seconds, seen = progress.seconds, progress.seen
        lr = learning_rate(epoch, steps - 1, steps)
        accuracy = 100.0 * progress.correct.item() / seen if task.has_hits else None
        after_epoch(EpochRecord(epoch + 1, mean_loss, accuracy, lr, seconds, seen / seconds))
        progress.end_epoch()
