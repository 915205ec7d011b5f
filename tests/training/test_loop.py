"""The loop against a plain transcription of it, and what it refuses."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Iterable, Iterator

import numpy as np
import pytest
import torch
from flat_results import correct
from torch import Tensor, nn
from torch.nn import functional as F

import hydra_peft
from hydra_peft.adapters.low_rank import LowRankLinear
from hydra_peft.augmentations.crop import Crop
from hydra_peft.backbones.architectures import build_architecture
from hydra_peft.data.split import Batch, Split
from hydra_peft.schedules.cosine import Cosine
from hydra_peft.tasks import build_task
from hydra_peft.training.batches import Feed, Normalizer
from hydra_peft.training.distributed import World
from hydra_peft.training.evaluation import evaluate
from hydra_peft.training.loop import Recipe, train
from hydra_peft.training.progress import DivergedError, EpochRecord, Progress, Step
from hydra_peft.training.seeding import generator, seed_everything
from hydra_peft.training.torchrun import Torchrun

CPU = torch.device("cpu")
TASK = build_task("classification", outputs=3, metrics=["accuracy"])
NORMALIZE = Normalizer((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), CPU)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(48, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.body(x.flatten(1))))


def data(count: int = 21) -> Split:
    images = torch.randint(0, 256, (count, 3, 4, 4), dtype=torch.uint8)
    return Split({"image": images}, torch.arange(count) % 3)


def stream(
    model: nn.Module,
    split: Split,
    lr: float = 0.01,
    *,
    optimizer: torch.optim.Optimizer | None = None,
    progress: Progress | None = None,
    **changes: object,
) -> Iterator[Step | EpochRecord]:
    trained = [p for p in model.parameters() if p.requires_grad]
    rates = Cosine(warmup_epochs=1, warmup_lr=0.0, min_lr=0.0).rates(lr, 4)
    settings = {"epochs": 4, "batch_size": 5, "drop_last": False, "learning_rate": rates}
    return train(
        model,
        TASK,
        Feed(model, split, {}, NORMALIZE),
        Recipe(**{**settings, **changes}),
        optimizer=optimizer or torch.optim.AdamW(trained, lr=1.0),
        progress=progress,
    )


def run(model: nn.Module, split: Split, lr: float = 0.01, **changes: object) -> list[EpochRecord]:
    return [e for e in stream(model, split, lr, **changes) if isinstance(e, EpochRecord)]


class Part(World):
    """One of several processes that share a batch, without the others."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size

    share = Torchrun.share


def test_each_image_is_changed_alike_however_many_processes_share_the_batch() -> None:
    split, seen = data(), list[Tensor]()

    def images_of(world: World, seed: int = 0) -> Tensor:
        seen.clear()
        feed = Feed(Net(), split, {}, note, augmentation=Crop(flip=0.5))
        hydra_peft.inject(feed.module, "full")
        rates = Cosine(warmup_epochs=0, warmup_lr=0.0, min_lr=0.0).rates(0.1, 2)
        recipe = Recipe(epochs=2, batch_size=5, drop_last=True, learning_rate=rates, seed=seed)
        sgd = torch.optim.SGD(feed.module.parameters(), lr=0.1)
        for _ in train(feed.module, TASK, feed, recipe, optimizer=sgd, world=world):
            pass
        return torch.stack(seen)

    def note(batch: Batch) -> Tensor:
        images = batch.inputs["image"]
        assert isinstance(images, Tensor)
        seen.append(images)
        return NORMALIZE(batch)

    whole = images_of(World())
    shared = [images_of(Part(rank, 2)) for rank in range(2)]
    assert torch.equal(whole, torch.cat(shared, dim=1))
    assert torch.equal(whole, images_of(World()))
    assert not torch.equal(whole, images_of(World(), seed=1))
    # The two epochs have the same images in another order, each changed otherwise.
    plain = {image.numpy().tobytes() for image in split.take(slice(None)).inputs["image"]}
    made = [image.numpy().tobytes() for image in whole.flatten(0, 1)]
    assert len(set(made) - plain) > 30


def losses_of(events: Iterable[Step | EpochRecord]) -> list[Tensor]:
    return [event.loss for event in events if isinstance(event, Step)]


def test_equals_a_plain_loop() -> None:
    model, split = Net(), data()
    hydra_peft.inject(model, "hydra", targets=["body"], rank=2)
    plain = copy.deepcopy(model)
    records = run(model, split, clip_grad=0.5)
    trained = [p for p in plain.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1.0)
    order = generator(0, "batches")
    losses = []
    for epoch in range(4):
        permutation, total = torch.randperm(21, generator=order), 0.0
        for step, rows in enumerate(permutation.split(5)):
            at = 5 * epoch + step
            cosine = 0.01 * 0.5 * (1 + math.cos(math.pi * (at - 5) / 15))
            optimizer.param_groups[0]["lr"] = 0.01 * at / 5 if at < 5 else cosine
            x = (split.inputs["image"][rows].float() / 255 - 0.5) / 0.5
            loss = F.cross_entropy(plain(x), split.targets[rows])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(trained, 0.5)
            optimizer.step()
            total += loss.item() * len(rows)
        losses.append(total / 21)
    assert [r.loss for r in records] == pytest.approx(losses, rel=1e-6)
    for mine, other in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-7)


@pytest.mark.parametrize("parts", [2, 3, 5])
def test_batches_in_parts_are_those_computed_at_once(parts: int) -> None:
    """Parts of two sizes, whose mean of means is another one, and a last batch of one image."""
    whole, split, called = Net(), data(), []
    hydra_peft.inject(whole, "hydra", targets=["body"], rank=2)
    apart = copy.deepcopy(whole)
    expected = run(whole, split, lr=0.05, optimizer=torch.optim.SGD(whole.parameters()))
    apart.register_forward_hook(lambda _m, given, _out: called.append(len(given[0])))
    optimizer = torch.optim.SGD(apart.parameters())
    found = run(apart, split, lr=0.05, optimizer=optimizer, accumulate=parts, clip_grad=None)
    assert max(called) == -(-5 // parts)
    assert sum(called) == 4 * 21
    assert len(called) == 4 * (4 * parts + 1)
    for one, other in zip(found, expected, strict=True):
        assert one.loss == pytest.approx(other.loss, abs=1e-6)
        assert one.train_accuracy == other.train_accuracy
    for mine, other in zip(apart.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-6)


def test_learns_and_scores_what_it_learnt() -> None:
    model, split = Net(), data()
    hydra_peft.inject(model, "full")
    records = run(model, split, epochs=60, lr=0.02)
    assert records[-1].loss < 0.1 * records[0].loss
    score = evaluate(model, TASK, split, prepare=NORMALIZE, device=CPU, precision="fp32")
    assert (correct(score), score.count) == (21, 21)
    assert score.values["accuracy"] == 100.0


def test_score_counts_by_hand() -> None:
    model, split = Net(), data(300)  # more than one evaluation batch
    model.train()
    score = evaluate(model, TASK, split, prepare=NORMALIZE, device=CPU, precision="fp32")
    by_hand = sum(
        int(model(NORMALIZE(split.take(slice(i, i + 1)))).argmax()) == int(split.targets[i])
        for i in range(300)
    )
    assert correct(score) == by_hand
    assert not model.training


def test_bf16_trains_with_float32_parameters() -> None:
    model, split = Net(), data()
    hydra_peft.inject(model, "lora", targets=["body"], rank=2)
    records = run(model, split, precision="bf16")
    assert math.isfinite(records[-1].loss)
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_a_loss_that_is_not_finite_ends_the_run() -> None:
    model = Net()
    hydra_peft.inject(model, "full")
    model.body.weight.data[0, 0] = math.nan
    with pytest.raises(DivergedError, match="became nan in epoch 1, step 1: lower"):
        run(model, data())


@pytest.mark.parametrize(("spoilt_after", "epoch", "step"), [(7, 2, 3), (9, 2, 5), (10, 3, 1)])
def test_divergence_names_the_first_step_whose_loss_is_not_finite(
    spoilt_after: int, epoch: int, step: int
) -> None:
    model = Net()
    hydra_peft.inject(model, "full")
    events = stream(model, data())
    while getattr(next(events), "number", 0) != spoilt_after:
        pass
    model.body.weight.data[0, 0] = math.nan
    with pytest.raises(DivergedError, match=f"in epoch {epoch}, step {step}: ") as caught:
        list(events)
    assert (caught.value.epoch, caught.value.step) == (epoch, step)


@pytest.mark.parametrize("stop_at", [1, 3, 5, 6, 20])
def test_progress_goes_on_where_it_was(stop_at: int) -> None:
    """With the model and the optimizer as they were, a new loop gives what one alone does."""

    whole, split = Net(), data()
    hydra_peft.inject(whole, "full")
    parts = copy.deepcopy(whole)
    records = run(whole, split)
    optimizer = torch.optim.AdamW(parts.parameters(), lr=1.0)
    progress = Progress()
    again = {"optimizer": optimizer, "progress": progress}
    found = []
    for event in stream(parts, split, **again):
        if isinstance(event, EpochRecord):
            found.append(event)
        elif event.number == stop_at:
            break
    assert progress.seen == min(5 * progress.step, 21)
    rest = list(stream(parts, split, **again))
    assert len(losses_of(rest)) == 20 - stop_at
    found += [event for event in rest if isinstance(event, EpochRecord)]
    same = ("epoch", "loss", "train_accuracy", "lr")
    for mine, other in zip(records, found, strict=True):
        assert [getattr(mine, n) for n in same] == [getattr(other, n) for n in same]
    for mine, other in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.equal(mine, other)


def noisy(seed: int) -> Iterator[Step | EpochRecord]:
    """Steps that draw from torch's, numpy's and Python's generators."""
    torch.manual_seed(seed)
    model = Net()
    hydra_peft.inject(model, "hydra", targets=["body"], rank=2, dropout=0.5)

    def shift(_module: nn.Module, _inputs: object, out: Tensor) -> Tensor:
        return out + 0.1 * (np.random.randn() + random.gauss(0, 1)) if model.training else out

    model.body.register_forward_hook(shift)
    return stream(model, data(), seed=seed)


def test_streams_that_take_turns_give_the_same_bits_as_each_alone() -> None:
    alone = [torch.stack(losses_of(noisy(seed))) for seed in (1, 2)]
    streams, together = [noisy(1), noisy(2)], [[], []]
    for turn in range(24):  # 20 steps and 4 epochs each
        for one, losses in zip(streams, together, strict=True):
            losses.extend(losses_of([next(one)]))
            if turn % 5 == 0:
                seed_everything(turn)  # as building the model of a third run does
    for mine, other in zip(alone, together, strict=True):
        assert torch.equal(mine, torch.stack(other))
    assert not torch.equal(*alone)


def test_drop_last_leaves_the_short_batch_out() -> None:
    model = Net()
    hydra_peft.inject(model, "linear")
    steps = [e for e in stream(model, data(), drop_last=True) if isinstance(e, Step)]
    assert [step.number for step in steps] == list(range(1, 17))
    assert [step.epoch for step in steps if step.ends_epoch] == [1, 2, 3, 4]


@pytest.mark.parametrize("epochs", [8, pytest.param(40, marks=pytest.mark.long)])
def test_fast_and_plain_form_end_in_the_same_place(epochs: int) -> None:
    """40 or 200 steps with dropout and stochastic depth, the same losses to 1e-4."""
    images = torch.randint(0, 256, (20, 3, 32, 32), dtype=torch.uint8)
    split = Split({"image": images}, torch.arange(20) % 3)
    losses = {}
    for fused in (True, False):
        torch.manual_seed(0)
        model = build_architecture("vit_mini", {"depth": 2}, drop_path=0.1)
        model.reset_classifier(3)
        hydra_peft.inject(model, "hydra", rank=2, dropout=0.1)
        for layer in model.modules():
            if isinstance(layer, LowRankLinear):
                layer.fused = fused
        steps = stream(model, split, lr=1e-3, epochs=epochs, batch_size=4)
        losses[fused] = torch.stack(losses_of(steps))
    assert len(losses[True]) == 5 * epochs
    assert losses[True][-5:].mean() < 0.9 * losses[True][:5].mean()
    assert not torch.equal(losses[True], losses[False])
    torch.testing.assert_close(losses[True], losses[False], rtol=1e-4, atol=1e-5)


def test_nothing_below_the_first_adapted_layer_is_kept_for_backward() -> None:
    model = build_architecture("vit_mini", {})
    hydra_peft.inject(model, "hydra", targets=["blocks.3.mlp.fc2"], rank=2, head=())
    grads = {}
    for name, module in model.named_modules():
        module.register_forward_hook(
            lambda _module, _inputs, out, name=name: grads.update({name: out.requires_grad})
        )
    model.train()(torch.randn(2, 3, 32, 32))
    assert not any(grads[f"blocks.{i}"] for i in range(3))
    assert not grads["blocks.3.mlp.fc1"]
    assert grads["blocks.3.mlp.fc2"]
    assert grads["blocks.4"]
