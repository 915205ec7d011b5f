"""Progress of training: steps and epochs as values, and the state between them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from hydra_peft.training.seeding import RandomStreams


class DivergedError(RuntimeError):
    """The loss stopped being a finite number, first in ``step`` of ``epoch``, both from 1."""

    def __init__(self, epoch: int, step: int, loss: float) -> None:
        super().__init__(
            f"the loss became {loss} in epoch {epoch}, step {step}: lower optimizer.lr"
        )
        self.epoch = epoch
        self.step = step


@dataclass(frozen=True)
class Step:
    """One optimizer step that is done.

    Attributes:
        epoch: its epoch, from 1.
        number: steps done since the beginning of training, this one included.
        loss: mean loss of the whole batch, float32 ``[]``, still on the device.
        learning_rate: the rate it was done with.
        seconds: what the steps of its epoch have taken so far.
        ends_epoch: whether it is the last of its epoch, whose :class:`EpochRecord` comes next.
    """

    epoch: int
    number: int
    loss: Tensor
    learning_rate: float
    seconds: float
    ends_epoch: bool


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
    """Progress of a training, kept up to date by :func:`hydra_peft.training.loop.train`.

    With the model and the optimizer this is all that training depends on: with them as they were
    after any step, ``train`` goes on as if it had never stopped.

    Attributes:
        epoch: epochs that are over, records and scores included.
        step: steps done in the epoch after them.
        seen: images seen in these.
        order: state of the generator of the batch order at the beginning of the epoch; None
            between epochs.
        random: what dropout and drop-path draw from; None until the first step.
        loss_sum: summed loss of the images seen, float32, on the device.
        correct: how many of them were right, int64, on the device.
        losses: loss of each step, float32 ``[steps]``, zero where it is still to come.
    """

    epoch: int = 0
    step: int = 0
    seen: int = 0
    order: Tensor | None = None
    random: RandomStreams | None = None
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
        """Stop the clock inside the context."""
        running = self._since is not None
        self.stop_clock()
        yield
        if running:
            self.start_clock()

    def record(self, lr: float, *, has_hits: bool) -> EpochRecord:
        """Return the record of the epoch whose steps are done; the clock stops.

        Raises:
            DivergedError: its mean loss is not finite.
        """
        loss = self._mean_loss()  # waits for the device, in the epoch's time
        self.stop_clock()
        accuracy = 100.0 * self.correct.item() / self.seen if has_hits else None
        rate = self.seen / self.seconds
        return EpochRecord(self.epoch + 1, loss, accuracy, lr, self.seconds, rate)

    def _mean_loss(self) -> float:
        mean = self.loss_sum.item() / self.seen
        if math.isfinite(mean):
            return mean
        bad = (~torch.isfinite(self.losses)).nonzero()
        if len(bad) == 0:
            raise DivergedError(self.epoch + 1, self.step, mean)  # only the sum is too large
        first = int(bad[0])
        raise DivergedError(self.epoch + 1, first + 1, self.losses[first].item())
