"""Scoring a model on a split."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hydra_peft.data.splits import ImageSplit
from hydra_peft.training.batches import Prepare
from hydra_peft.training.devices import autocast

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


@torch.no_grad()
def evaluate(
    model: nn.Module,
    split: ImageSplit,
    *,
    prepare: Prepare,
    device: torch.device,
    precision: str,
    after_batch: Callable[[], None] = lambda: None,
) -> Score:
    """Return the top-1 score of ``model`` on ``split``; the model is left in evaluation mode.

    Args:
        after_batch: called after each batch; what it raises ends the scoring.
    """
    model.eval()
    correct = torch.zeros((), dtype=torch.int64, device=device)
    for images, labels in batches(split):
        images, labels = images.to(device), labels.to(device)
        with autocast(device, precision):
            logits = model(prepare(images))
        correct += (logits.argmax(dim=1) == labels).sum()
        after_batch()
    return Score(int(correct), len(split))


def batches(split: ImageSplit) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield batches in order; one is read (perhaps decoded) while the model computes another."""
    starts = range(0, len(split), EVALUATION_BATCH)
    with ThreadPoolExecutor(1) as reader:

        def read(start: int) -> Future[Tensor]:
            return reader.submit(split.images.__getitem__, slice(start, start + EVALUATION_BATCH))

        coming = read(0)
        for start in starts:
            images = coming.result()
            if start + EVALUATION_BATCH < len(split):
                coming = read(start + EVALUATION_BATCH)
            yield images, split.labels[start : start + EVALUATION_BATCH]
