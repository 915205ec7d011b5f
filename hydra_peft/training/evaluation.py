"""Scoring a model on a split."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

import torch
from torch import Tensor, nn

from hydra_peft.data.split import Batch, Split
from hydra_peft.metrics import Metric
from hydra_peft.tasks import Task
from hydra_peft.training.batches import Prepare
from hydra_peft.training.devices import autocast, exact_float32
from hydra_peft.training.distributed import World

#: fixed, because the batch size can change the last bits of a matrix product
EVALUATION_BATCH = 256


@dataclass(frozen=True)
class Score:
    """Metrics of a model on a split.

    Attributes:
        values: by metric, in percent, the primary one first.
        count: number of examples.
        outputs: the model's, float32 ``[count, outputs]``, on the CPU; None if they were not kept.
    """

    values: Mapping[str, float]
    count: int
    outputs: Tensor | None = field(default=None, compare=False, repr=False)

    def counts(self, metric: Metric) -> dict[str, int]:
        """Return the number of examples ``scored`` and, if ``metric`` counts, ``correct``."""
        if not metric.counts:
            return {"scored": self.count}
        return {
            "scored": self.count,
            "correct": round(self.values[metric.name] * self.count / 100),
        }


@exact_float32()
def evaluate(
    model: nn.Module,
    task: Task,
    split: Split,
    *,
    prepare: Prepare,
    device: torch.device,
    precision: str,
    after_batch: Callable[[], None] = lambda: None,
    world: World | None = None,
) -> Score:
    """Return the scores of ``model`` on ``split``, computed once from all of its outputs.

    The model is left in evaluation mode.

    Args:
        after_batch: called after each batch; what it raises ends the scoring.
        world: the processes that share the batches; each calls ``after_batch`` equally often.
    """
    outputs = predict(
        model,
        split,
        prepare=prepare,
        device=device,
        precision=precision,
        after_batch=after_batch,
        world=world,
    )
    return Score(task.scores(outputs, split.targets), len(split), outputs)


@torch.no_grad()
def predict(
    model: nn.Module,
    split: Split,
    *,
    prepare: Prepare,
    device: torch.device,
    precision: str,
    after_batch: Callable[[], None] = lambda: None,
    world: World | None = None,
) -> Tensor:
    """Return the outputs of ``model`` for every example in order, float32 ``[n, outputs]``, on the
    CPU; see :func:`evaluate`."""
    world = world or World()
    model.eval()
    found: list[Tensor] = []
    own = batches(split, world.rank, world.size)
    for _ in range(0, len(split), EVALUATION_BATCH * world.size):
        # In the last round some have none.
        for batch in islice(own, 1):
            with autocast(device, precision):
                outputs = model(prepare(batch.to(device)))
            found.append(outputs.float())
        after_batch()
    return in_order(split, world.gather_batches(found, EVALUATION_BATCH, len(split)))


def in_order(split: Split, outputs: Tensor) -> Tensor:
    """Return ``outputs`` of all :func:`batches` of ``split``, ``[n, ...]``, in its own order."""
    if (order := split.by_length()) is None:
        return outputs
    placed = torch.empty_like(outputs)
    placed[order.to(outputs.device)] = outputs
    return placed


def batches(split: Split, first: int = 0, every: int = 1) -> Iterator[Batch]:
    """Yield batches in order; one is read (perhaps decoded) while the model computes another.

    Examples of different lengths come from the longest to the shortest; see :func:`in_order`.

    Args:
        first, every: begin with batch ``first``, from 0, and yield each ``every``-th.
    """
    step = every * EVALUATION_BATCH
    starts = range(first * EVALUATION_BATCH, len(split), step)
    if len(starts) == 0:
        return
    order = split.by_length()
    with ThreadPoolExecutor(1) as reader:

        def read(start: int) -> Future[Batch]:
            rows = slice(start, start + EVALUATION_BATCH)
            return reader.submit(split.take, rows if order is None else order[rows])

        coming = read(starts[0])
        for start in starts:
            batch = coming.result()
            if start + step < len(split):
                coming = read(start + step)
            yield batch
