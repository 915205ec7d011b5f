"""Suite ``task``: one task from JPEG files to its score, ours against a plain loop.

The plain loop does what the released code does (extremebird/Hydra, ``vtab1k``): worker processes
decode every file in every epoch, three branches, float32, and the test set is scored ten times.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hydra_peft.benchmarks._files import MEAN, SIZE, STD, plain_loader, write_files
from hydra_peft.benchmarks._report import Report, readable, synchronize
from hydra_peft.benchmarks._training import adamw, train_all
from hydra_peft.benchmarks._variants import CLASSES, THREE_BRANCHES, build
from hydra_peft.cores import usable_cores
from hydra_peft.data.feeding import prepare_split
from hydra_peft.data.sources.image_lists import FileImages
from hydra_peft.data.splits import ImageSplit, SourceSplit
from hydra_peft.training.allocation import keep_freed_memory
from hydra_peft.training.batches import Normalizer, to_device
from hydra_peft.training.compiling import compile_blocks, pays
from hydra_peft.training.devices import fastest_precision
from hydra_peft.training.evaluation import evaluate

#: the released code has four, and no more are of use than there are cores
WORKERS = min(4, usable_cores())


@dataclass(frozen=True)
class Settings:
    """What is measured on; VTAB-1k has 1000 images, some 10,000 test images and 100 epochs.

    Attributes:
        images: training images.
        test_images: test images.
        epochs: passes over the training images.
        evaluations: how often the plain loop scores the test set; ours does once.
        batch_size: images a step.
        architecture: timm's name of the model.
    """

    images: int = 16
    test_images: int = 160
    epochs: int = 10
    evaluations: int = 10
    batch_size: int = 16
    architecture: str = "vit_base_patch16_224"


class _Clock:
    """Seconds by phase, and of them those in the model's own arithmetic."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.phases: dict[str, float] = {}
        self.arithmetic = 0.0

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        synchronize(self.device)
        begun = time.perf_counter()
        yield
        synchronize(self.device)
        self.phases[name] = self.phases.get(name, 0.0) + time.perf_counter() - begun

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


def run(device: torch.device, settings: Settings) -> Report:
    """Measure both on ``device``, one after the other."""
    folder = Path(tempfile.mkdtemp(prefix="hydra_peft-bench-"))
    try:
        files = write_files(folder, settings.images + settings.test_images)
        plain = _plain(files, device, settings)
        if device.type == "cpu":
            keep_freed_memory()  # as runs do; for the rest of the process, hence ours comes last
        ours = _ours(files, folder, device, settings)
    finally:
        shutil.rmtree(folder)
    precision = fastest_precision(device.type)
    report = Report(
        "task", {**vars(settings), "precision": precision, "plain_loop_workers": WORKERS}
    )
    for name, clock in (("ours", ours), ("plain loop", plain)):
        total = sum(clock.phases.values())
        for phase, seconds in clock.phases.items():
            report.rows.append({"loop": name, "phase": phase, "s": seconds})
        report.rows.append({"loop": name, "phase": "all", "s": total})
    totals = [sum(clock.phases.values()) for clock in (ours, plain)]
    report.notes.append(
        f"ours / plain loop: {readable(totals[0] / totals[1])} (goal at most 0.125 on a GPU)"
    )
    if device.type == "cpu":  # a GPU computes on while the clock is read
        overhead = 100 * (totals[0] / ours.arithmetic - 1)
        report.notes.append(
            f"ours beyond the model's own arithmetic: {readable(overhead)}% (goal below 3%)"
        )
    return report


def _ours(files: list[Path], folder: Path, device: torch.device, settings: Settings) -> _Clock:
    clock = _Clock(device)
    precision = fastest_precision(device.type)
    model = build("hydra r=2+2", settings.architecture, device)
    if pays(device):
        compile_blocks(model, cuda_graph=False)
    optimizer = adamw(model, lr=1e-3)
    clock.watch(model, optimizer)
    normalize = Normalizer(MEAN, STD, device)
    with clock.phase("decode into the cache"):
        train_split = to_device(_split(files[: settings.images], folder / "cache"), device)
        test_split = _split(files[settings.images :], None)
    with clock.phase("train"):
        train_all(
            model,
            train_split,
            optimizer,
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            prepare=normalize,
            device=device,
            precision=precision,
        )
    with clock.phase("test, once"):
        evaluate(model, test_split, prepare=normalize, device=device, precision=precision)
    return clock


def _split(files: list[Path], cache: Path | None) -> ImageSplit:
    images = FileImages(files, files[0].parent / f"{files[0].stem}.safetensors", "bench")
    labels = torch.arange(len(files)) % CLASSES
    return prepare_split(SourceSplit(images, labels), size=SIZE, cache=cache, title="bench")


def _plain(files: list[Path], device: torch.device, settings: Settings) -> _Clock:
    clock = _Clock(device)
    model = build(THREE_BRANCHES, settings.architecture, device)
    optimizer = adamw(model, lr=1e-3)
    labels = [row % CLASSES for row in range(len(files))]
    cut, size = settings.images, settings.batch_size
    training = plain_loader(files[:cut], labels[:cut], size, device, shuffle=True, workers=WORKERS)
    testing = plain_loader(files[cut:], labels[cut:], 256, device, shuffle=False, workers=WORKERS)
    every = max(1, settings.epochs // settings.evaluations)
    for epoch in range(settings.epochs):
        model.train()
        with clock.phase("train"):
            for images, targets in training:
                loss = F.cross_entropy(model(images.to(device)), _to(targets, device))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        if (epoch + 1) % every == 0:
            model.eval()
            with clock.phase(f"test, {settings.epochs // every} times"), torch.no_grad():
                for images, targets in testing:
                    (model(images.to(device)).argmax(1) == _to(targets, device)).sum().item()
    return clock


def _to(targets: Tensor | int, device: torch.device) -> Tensor:
    return torch.as_tensor(targets).to(device)
