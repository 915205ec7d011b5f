"""Training as a stream of steps."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor, nn
from torch.autograd.profiler import record_function

from hydra_peft.adaptation.injection import set_training_mode
from hydra_peft.adaptation.record import adaptation
from hydra_peft.augmentations import Augmentation
from hydra_peft.data.split import Batch
from hydra_peft.methods._base import Method
from hydra_peft.schedules import LearningRate
from hydra_peft.tasks import Task
from hydra_peft.training.batches import Feed, batch_count, shuffled_rows
from hydra_peft.training.distributed import World
from hydra_peft.training.passes import Compute, Pass, compute_alone
from hydra_peft.training.progress import EpochRecord, Progress, Step
from hydra_peft.training.seeding import RandomStreams, generator


@dataclass(frozen=True)
class Recipe:
    """Training recipe: epochs, learning rate, schedule, regularisation.

    Attributes:
        epochs: number of epochs.
        batch_size: examples of a step, in all processes together.
        drop_last: leave out an epoch's last batch if it is smaller.
        learning_rate: from epoch, step and steps per epoch to the rate of that step.
        clip_grad: largest gradient norm, or None.
        precision: ``fp32`` or ``bf16``.
        seed: of the batch order, of dropout, and of what a method does before a step.
        eval_after: epochs after which the model computes as in evaluation; None never.
        accumulate: parts in which each process computes its share of a batch, one after the other.
    """

    epochs: int
    batch_size: int
    drop_last: bool
    learning_rate: LearningRate
    clip_grad: float | None = None
    precision: str = "fp32"
    seed: int = 0
    eval_after: int | None = None
    accumulate: int = 1


def train(
    model: nn.Module,
    task: Task,
    feed: Feed,
    recipe: Recipe,
    *,
    optimizer: torch.optim.Optimizer,
    progress: Progress | None = None,
    world: World | None = None,
    compute: Compute = compute_alone,
) -> Generator[Step | EpochRecord, None, None]:
    """Train the parameters that ``optimizer`` holds; yield each, and each epoch.

    Model, optimizer and ``progress`` change only while the next value is asked for, and the random
    numbers that steps draw are this stream's own. So state may be written at any step, the model
    scored at any epoch, and several streams may take turns in one process.

    Args:
        model: adapted, on the device that computes.
        task: says how wrong an output is.
        feed: the module that is called, ``model`` or its head, and its training examples, in memory
            of the device.
        recipe: the same in all processes.
        progress: filled in, and up to date at every value. One that is not new goes on from there.
            Its clock runs from an epoch's first step to the last.
        world: the processes that train together: each computes its share of every batch, and
            ``progress`` is of whole batches. None is this one alone.
        compute: does the passes through the model; several runs of a process may share theirs.

    Raises:
        DivergedError: the loss of an epoch is not finite.
    """
    progress, world = progress or Progress(), world or World()
    size, device = len(feed.train_split), optimizer.param_groups[0]["params"][0].device
    steps = batch_count(size, recipe.batch_size, recipe.drop_last)
    order, method = generator(recipe.seed, "batches"), adaptation(model).method
    if progress.random is None:
        done = progress.epoch * steps + progress.step
        progress.random = RandomStreams.seeded(recipe.seed, world.rank, done, device)
    while (epoch := progress.epoch) < recipe.epochs:
        if recipe.eval_after is None or epoch < recipe.eval_after:
            set_training_mode(model)
        else:
            model.eval()
        if progress.order is None:
            progress.begin_epoch(order.get_state(), steps, device)
        else:
            order.set_state(progress.order)
        progress.start_clock()
        batches = shuffled_rows(
            size, recipe.batch_size, order, drop_last=recipe.drop_last, device=device
        )
        for rows in islice(batches, progress.step, None):
            number = epoch * steps + progress.step
            rate = recipe.learning_rate(epoch, progress.step, steps)
            for group in optimizer.param_groups:
                group["lr"] = rate
            with progress.random as random:
                _prepare(model, method, number, recipe.seed)
            loss, right = _step(feed, task, rows, number, optimizer, recipe, world, random, compute)
            progress.add(loss, right, len(rows))
            ends = progress.step == steps
            yield Step(epoch + 1, number + 1, loss, rate, progress.seconds, ends)
        rate = recipe.learning_rate(epoch, steps - 1, steps)
        yield progress.record(rate, has_hits=task.has_hits)
        progress.end_epoch()


def _prepare(model: nn.Module, method: Method, step: int, seed: int) -> None:
    """Let the method act before ``step``, counted from 0 over all epochs, with its own numbers."""
    if type(method).before_step is not Method.before_step:
        method.before_step(model, step, generator(seed, f"step/{step}"))


def _augmented(
    batch: Batch, augmentation: Augmentation, count: int, numbers: torch.Generator, world: World
) -> Batch:
    """Return this process's ``batch`` with changed images.

    Numbers are drawn for the whole batch, so that those of an image do not depend on how many
    processes share it.

    Args:
        count: images of all processes' batches.
    """
    images = batch.inputs["image"]
    assert isinstance(images, Tensor), "images are no ragged rows"
    height, width = images.shape[-2:]
    draws = world.share(augmentation.draw(count, (height, width), numbers)).rows
    changed = augmentation.apply(images, draws)
    return Batch({**batch.inputs, "image": changed}, batch.targets)


def _step(
    feed: Feed,
    task: Task,
    rows: Tensor,
    number: int,
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    world: World,
    random: RandomStreams,
    compute: Compute,
) -> tuple[Tensor, Tensor]:
    """Do step ``number`` on ``rows``; return its mean loss and how many were right, on the
    device."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    share = world.share(rows)
    with record_function("batch"):
        batch = feed.train_split.take(share.rows)
        if feed.augmentation is not None:
            numbers = generator(recipe.seed, f"augment/{number}")
            batch = _augmented(batch, feed.augmentation, len(rows), numbers, world)
    losses, hits = [], []
    optimizer.zero_grad(set_to_none=True)
    for part in batch.parts(recipe.accumulate):
        with record_function("batch"):
            inputs = feed.prepare(part)

        def loss_of(outputs: Tensor, part: Batch = part) -> Tensor:
            return share.weigh(task.loss(outputs, part.targets).mean(), len(part))

        loss, outputs = compute(
            Pass(feed.module, inputs, loss_of, parameters, recipe.precision, rows.device, random)
        )
        losses.append(loss)
        hits.append(task.hits(outputs, part.targets))
    right = torch.cat(hits)[: share.count].sum()
    with record_function("gradients of all processes"):
        loss, right = world.all_reduce(parameters, torch.stack(losses).sum(), right)
    with record_function("optimizer"):
        if recipe.clip_grad is not None:
            nn.utils.clip_grad_norm_(parameters, recipe.clip_grad)
        optimizer.step()
    return loss, right
