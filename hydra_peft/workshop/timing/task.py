"""Suite ``task``: one task from JPEG files to its score, ours against a plain loop.

The plain loop does what the released code does (extremebird/Hydra, ``vtab1k``): worker processes
decode every file in every epoch, three branches, float32, and the test set is scored ten times.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from hydra_peft.cores import usable_cores
from hydra_peft.data.feeding import prepare_split
from hydra_peft.data.images import FileImages
from hydra_peft.data.split import Split
from hydra_peft.training.allocation import keep_freed_memory
from hydra_peft.training.batches import Normalizer
from hydra_peft.training.devices import fastest_precision
from hydra_peft.workshop.timing._files import MEAN, STD, plain_loader, write_files
from hydra_peft.workshop.timing._models import (
    CLASSES,
    HYDRA,
    THREE_BRANCHES,
    Training,
    adamw,
    build,
    compiled_where_it_pays,
)
from hydra_peft.workshop.timing._report import Report, readable, scratch_folder, synchronize
from hydra_peft.workshop.timing.settings import TaskSettings

#: the released code has four, and no more are of use than there are cores
WORKERS = min(4, usable_cores())
TRAIN, SCORE = "train", "score"


@dataclass
class _Phase:
    """Seconds that so many images took."""

    seconds: float = 0.0
    images: int = 0


class _Clock:
    """Seconds and images by phase, and of the seconds those in the model's own arithmetic.

    Args:
        ended: called at the end of a phase.
    """

    def __init__(
        self, device: torch.device, ended: Callable[[str, _Phase], None] = lambda *_: None
    ) -> None:
        self.device = device
        self.ended = ended
        self.phases: dict[str, _Phase] = {}
        self.arithmetic = 0.0

    @property
    def seconds(self) -> float:
        """Seconds of all phases."""
        return sum(phase.seconds for phase in self.phases.values())

    @contextmanager
    def phase(self, name: str) -> Iterator[_Phase]:
        found = self.phases.setdefault(name, _Phase())
        synchronize(self.device)
        begun = time.perf_counter()
        yield found
        synchronize(self.device)
        found.seconds += time.perf_counter() - begun
        self.ended(name, found)

    def watch(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        """Count the time from each forward pass to the end of its step, or of itself in testing."""
        begun = [0.0]

        def start(*_: object) -> None:
            begun[0] = time.perf_counter()

        def stop(*_: object) -> None:
            self.arithmetic += time.perf_counter() - begun[0]

        model.register_forward_pre_hook(start)
        model.register_forward_hook(lambda *_: None if torch.is_grad_enabled() else stop())
        optimizer.register_step_post_hook(stop)


def run(device: torch.device, settings: TaskSettings, report: Report) -> None:
    """Measure both on ``device``, one after the other."""
    report.settings = {
        **vars(settings),
        "precision": fastest_precision(device.type),
        "plain_loop_workers": WORKERS,
    }
    with scratch_folder() as folder:
        report.say("writing the image files")
        files = write_files(folder, settings.images + settings.test_images)
        plain_seconds = _plain(files, device, settings, report)
        if device.type == "cpu":
            keep_freed_memory()  # as runs do; for the rest of the process, hence ours comes last
        ours = _ours(files, folder, device, settings, report)
    report.add(_row("ours", "all", ours.seconds))
    report.notes.append(
        f"ours / plain loop: {readable(ours.seconds / plain_seconds)} (goal at most 0.125 on a GPU)"
    )
    if device.type == "cpu":  # a GPU computes on while the clock is read
        overhead = 100 * (ours.seconds / ours.arithmetic - 1)
        report.notes.append(
            f"ours beyond the model's own arithmetic: {readable(overhead)}% (goal below 3%)"
        )


def _row(loop: str, phase: str, seconds: float, label: str = "measured") -> dict[str, Any]:
    return {"loop": loop, "phase": phase, "s": seconds, "label": label}


def _tell_plain(phase: str, found: _Phase, settings: TaskSettings, report: Report) -> None:
    """Add a phase of the plain loop to ``report``, predicted where it did not get through."""
    each, times = {
        TRAIN: (settings.images, settings.epochs),
        SCORE: (settings.test_images, settings.evaluations),
    }[phase]
    seconds = found.seconds * each * times / found.images
    label = "measured"
    if found.images < each * times:
        label, report.label = "predicted", "measured and predicted"
        report.notes.append(
            f"plain loop, {phase}, predicted: {found.images:,} images took "
            f"{readable(found.seconds)} s, so {each * times:,} take {readable(seconds)} s"
        )
    report.add(_row("plain loop", phase, seconds, label))


def _ours(
    files: list[Path], folder: Path, device: torch.device, settings: TaskSettings, report: Report
) -> _Clock:
    clock = _Clock(device, lambda phase, found: report.add(_row("ours", phase, found.seconds)))
    model = compiled_where_it_pays(build(HYDRA, settings.architecture, device), device)
    optimizer = adamw(model, lr=1e-3)
    clock.watch(model, optimizer)
    precision = fastest_precision(device.type)
    training = Training(model, Normalizer(MEAN, STD, device), device, precision)
    with clock.phase("decode into the cache"):
        cut = settings.images
        whole = _split(files[:cut], folder / "cache", settings.pixels)
        train_split = whole.in_memory(device)
        test_split = _split(files[cut:], None, settings.pixels)
    with clock.phase(TRAIN):
        training.train(
            train_split, optimizer, epochs=settings.epochs, batch_size=settings.batch_size
        )
    with clock.phase(f"{SCORE} once"):
        training.score(test_split)
    return clock


def _split(files: list[Path], cache: Path | None, pixels: int) -> Split:
    folder = files[0].parent
    images = FileImages(files, folder / f"{files[0].stem}.safetensors", "bench", folder)
    labels = torch.arange(len(files)) % CLASSES
    size = (pixels, pixels)
    return prepare_split(Split({"image": images}, labels), size=size, cache=cache, title="bench")


def _plain(
    files: list[Path], device: torch.device, settings: TaskSettings, report: Report
) -> float:
    """Do the plain loop, or as much of it as gets done; return the seconds of all of it."""
    clock = _Clock(device, lambda phase, found: _tell_plain(phase, found, settings, report))
    model = build(THREE_BRANCHES, settings.architecture, device)
    optimizer = adamw(model, lr=1e-3)
    labels = [row % CLASSES for row in range(len(files))]
    cut, size = settings.images, (settings.pixels, settings.pixels)

    def loader(rows: slice, batch_size: int, *, shuffle: bool) -> DataLoader[tuple[Tensor, int]]:
        return plain_loader(
            files[rows],
            labels[rows],
            batch_size,
            device,
            size=size,
            shuffle=shuffle,
            workers=WORKERS,
        )

    training = loader(slice(cut), settings.batch_size, shuffle=True)
    testing = loader(slice(cut, None), 256, shuffle=False)
    model.train()
    with clock.phase(TRAIN) as done:
        limit = time.perf_counter() + settings.plain_seconds / 2
        for _ in range(settings.epochs):
            for images, targets in training:
                loss = F.cross_entropy(model(images.to(device)), _to(targets, device))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                done.images += len(images)
            if time.perf_counter() > limit:
                break
    model.eval()
    with clock.phase(SCORE) as done, torch.no_grad():
        limit = time.perf_counter() + settings.plain_seconds / 2
        for images, targets in chain.from_iterable(repeat(testing, settings.evaluations)):
            (model(images.to(device)).argmax(1) == _to(targets, device)).sum().item()
            done.images += len(images)
            if time.perf_counter() > limit:
                break
    total = sum(row["s"] for row in report.rows)
    report.add(_row("plain loop", "all", total, report.label))
    return float(total)


def _to(targets: Tensor | int, device: torch.device) -> Tensor:
    return torch.as_tensor(targets).to(device)
