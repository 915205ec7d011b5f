"""Scoring a model on a split."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn

from hydra_peft.data.splits import ImageSplit
from hydra_peft.training.batches import Prepare
from hydra_peft.training.devices import autocast, exact_float32
from hydra_peft.training.distributed import World

#: fixed, because the batch size can change the last bits of a matrix product
EVALUATION_BATCH = 256


@dataclass(frozen=True)
class Score:
    """Top-1 score: ``correct`` out of ``count`` images."""

    correct: int
    count: int

    @property
    def accuracy(self) -> float:
        """Share of correct images, in percent."""
        return 100.0 * self.correct / self.count


@exact_float32()
@torch.no_grad()
def evaluate(
    model: nn.Module,
    split: ImageSplit,
    *,
    prepare: Prepare,
    device: torch.device,
    precision: str,
    after_batch: Callable[[], None] = lambda: None,
    world: World | None = None,
) -> Score:
    """Return the top-1 score of ``model`` on ``split``; the model is left in evaluation mode.

    Args:
        after_batch: called after each batch; what it raises ends the scoring.
        world: the processes that share the batches; each calls ``after_batch`` equally often.
    """
    world = world or World()
    model.eval()
    correct = torch.zeros((), dtype=torch.int64, device=device)
    own = batches(split, world.rank, world.size)
    for _ in range(0, len(split), EVALUATION_BATCH * world.size):
        # In the last round some have none.
        for images, labels in islice(own, 1):
            images, labels = images.to(device), labels.to(device)
            with autocast(device, precision):
                logits = model(prepare(images))
            correct += (logits.argmax(dim=1) == labels).sum()
        after_batch()
    return Score(world.total(int(correct)), len(split))


def batches(split: ImageSplit, first: int = 0, every: int = 1) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches in order; one is read (perhaps decoded) while the model computes another.

    Args:
        first, every: begin with batch ``first``, from 0, and yield each ``every``-th.
    """
    step = every * EVALUATION_BATCH
    starts = range(first * EVALUATION_BATCH, len(split), step)
    if len(starts) == 0:
        return
    with ThreadPoolExecutor(1) as reader:

        def read(start: int) -> Future[Tensor]:
            return reader.submit(split.images.__getitem__, slice(start, start + EVALUATION_BATCH))

        coming = read(starts[0])
        for start in starts:
            images = coming.result()
            if start + step < len(split):
                coming = read(start + step)
            yield images, split.labels[start : start + EVALUATION_BATCH]
