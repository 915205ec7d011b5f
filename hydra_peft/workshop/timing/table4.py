"""Suite ``table4``: the paper's Table 4, an epoch of CIFAR10's size by method."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from hydra_peft.training.devices import fastest_precision
from hydra_peft.workshop.timing._models import adapted, compiled_where_it_pays, training_step
from hydra_peft.workshop.timing._report import (
    Report,
    Seconds,
    median,
    ratio,
    readable,
    spread,
    synchronize,
    wanted,
)
from hydra_peft.workshop.timing.settings import Table4Settings

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


def run(device: torch.device, settings: Table4Settings, report: Report) -> None:
    """Time or predict an epoch of each method on ``device``; images are random and in memory."""
    precision = fastest_precision(device.type)
    really = wanted(settings.timed, device.type == "cuda")
    report.settings = {**vars(settings), "precision": precision, "images are": "random, in memory"}
    report.label = "measured" if really else "predicted"
    models = {}
    for name, (method, options) in ROWS.items():
        model = adapted(settings.architecture, method, options, device, classes=CLASSES)
        models[name] = compiled_where_it_pays(model, device)
    works = {
        row: _work(model, device, precision, settings, whole_epoch=really)
        for row, model in models.items()
    }
    synchronize(device)
    # A step that is timed stands for all of an epoch.
    times = 1.0 if really else settings.images / settings.batch_size

    def row(name: str, seconds: Seconds) -> dict[str, Any]:
        found = [times * one for one in seconds[name]]
        return {
            "method": name,
            "parameters": _trained(models[name]),
            "s/epoch": sum(found) / len(found) if really else median(found),
            "range": spread(found),
        }

    rounds = settings.epochs if really else settings.repeats
    calls = 1 if really or device.type == "cpu" else 20
    seconds = report.in_turns(works, rounds, row, calls=calls)
    report.notes = _notes(report, seconds, settings)


def _work(
    model: nn.Module,
    device: torch.device,
    precision: str,
    settings: Table4Settings,
    *,
    whole_epoch: bool,
) -> Callable[[], None]:
    """Return a step, or an epoch of them with what is left over at its end, if anything is."""

    def step(size: int) -> Callable[[], None]:
        return training_step(model, size, device, precision, classes=CLASSES)

    whole, left_over = step(settings.batch_size), settings.images % settings.batch_size
    if not whole_epoch:
        return whole
    last = step(left_over) if left_over else None

    def epoch() -> None:
        for _ in range(settings.images // settings.batch_size):
            whole()
        if last is not None:
            last()

    return epoch


def _trained(model: nn.Module) -> int:
    """Return the trained parameters without the head."""
    return sum(
        parameter.numel()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and not name.startswith("head.")
    )


def _notes(report: Report, seconds: Seconds, settings: Table4Settings) -> list[str]:
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
