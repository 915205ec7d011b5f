"""Suite ``table4``: the paper's Table 4, an epoch of CIFAR10's size by method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from hydra_peft.benchmarks._report import (
    Report,
    in_turns,
    median,
    ratio,
    readable,
    spread,
    synchronize,
)
from hydra_peft.benchmarks._variants import adapted, training_step
from hydra_peft.training.devices import fastest_precision

CLASSES = 10
#: "applied to MLP blocks", which section 3.4 makes the last layer of each
TARGETS = ["mlp.fc2"]
FULL = "Full tuning"
#: the paper's rows: method and options. It prints 0.22, 0.21 and 0.21 M and no ranks; with biases
#: these have 0.24, 0.21 and 0.21 M, the nearest there are
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    FULL: ("full", {}),
    "LoRA": ("lora", {"rank": 5, "targets": TARGETS}),
    "SeqLoRA": ("seqlora", {"rank": 11, "targets": TARGETS}),
    "Hydra": ("hydra", {"rank": 3, "targets": TARGETS}),
}


@dataclass(frozen=True)
class Settings:
    """What is measured on.

    Attributes:
        architecture: timm's name of the model, with random weights.
        batch_size: images a step.
        images: of an epoch, CIFAR10's by default.
        epochs: epochs that are timed whole, of which the mean is reported.
        repeats: steps that are timed for a prediction, of which the median is used.
        timed: ``auto`` times whole epochs where there is CUDA and predicts elsewhere; ``true``,
            ``false``.
    """

    architecture: str = "vit_base_patch32_224"
    batch_size: int = 128
    images: int = 50_000
    epochs: int = 10
    repeats: int = 5
    timed: str = "auto"


def run(device: torch.device, settings: Settings) -> Report:
    """Time or predict an epoch of each method on ``device``; images are random and in memory."""
    precision = fastest_precision(device.type)
    really = settings.timed == "true" or (settings.timed == "auto" and device.type == "cuda")
    described = {**vars(settings), "precision": precision, "images are": "random, in memory"}
    report = Report("table4", described, label="measured" if really else "predicted")
    models = {
        row: adapted(settings.architecture, method, options, device, classes=CLASSES)
        for row, (method, options) in ROWS.items()
    }
    seconds = (_epochs if really else _predicted)(models, device, precision, settings)
    for row, found in seconds.items():
        middle = sum(found) / len(found) if really else median(found)
        report.rows.append(
            {
                "method": row,
                "parameters": _trained(models[row]),
                "s/epoch": middle,
                "range": spread(found),
            }
        )
    report.notes = _notes(report, seconds, settings)
    return report


def _steps(
    model: nn.Module, device: torch.device, precision: str, settings: Settings
) -> tuple[Callable[[], None], Callable[[], None] | None]:
    """Return a step, and the one on what is left over at the end of an epoch, if anything is."""
    sizes = (settings.batch_size, settings.images % settings.batch_size)
    whole, last = (
        training_step(model, size, device, precision, classes=CLASSES) if size else None
        for size in sizes
    )
    assert whole is not None
    return whole, last


def _epochs(
    models: dict[str, nn.Module], device: torch.device, precision: str, settings: Settings
) -> dict[str, list[float]]:
    """Return the seconds of whole epochs, the methods in turns."""
    works = {}
    for row, model in models.items():
        step, last = _steps(model, device, precision, settings)
        works[row] = _epoch(step, last, settings.images // settings.batch_size)
    return in_turns(works, device, settings.epochs)


def _epoch(
    step: Callable[[], None], last: Callable[[], None] | None, count: int
) -> Callable[[], None]:
    def epoch() -> None:
        for _ in range(count):
            step()
        if last is not None:
            last()

    return epoch


def _predicted(
    models: dict[str, nn.Module], device: torch.device, precision: str, settings: Settings
) -> dict[str, list[float]]:
    """Return an epoch's seconds by each timed step, the methods in turns."""
    works = {row: _steps(model, device, precision, settings)[0] for row, model in models.items()}
    synchronize(device)
    steps = settings.images / settings.batch_size
    found = in_turns(works, device, settings.repeats)
    return {row: [steps * one for one in times] for row, times in found.items()}


def _trained(model: nn.Module) -> int:
    """Return the trained parameters without the head."""
    return sum(
        parameter.numel()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and not name.startswith("head.")
    )


def _notes(report: Report, seconds: dict[str, list[float]], settings: Settings) -> list[str]:
    notes = []
    for row in seconds:
        if row != FULL:
            quotients = ratio(seconds, row, FULL)
            notes.append(f"{row} / {FULL}: {readable(median(quotients))} ({spread(quotients)})")
    options = ", ".join(
        f"{row} r={values['rank']}" for row, (_, values) in ROWS.items() if "rank" in values
    )
    notes.append(
        f"{options}, on the last layer of each MLP block, with biases: the paper gives no ranks; "
        "decoding, resizing and moving images is left out, which the paper's times may include"
    )
    if report.label == "predicted":
        notes.append(
            f"predicted: median of {settings.repeats} steps of {settings.batch_size} images, "
            f"for {settings.images:,} images"
        )
    return notes
