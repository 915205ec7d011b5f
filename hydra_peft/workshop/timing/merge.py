"""Suite ``merge``: inference of a merged model over that of the plain backbone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from hydra_peft.adaptation.merging import merge
from hydra_peft.backbones.architectures import input_size
from hydra_peft.training.devices import autocast, fastest_precision
from hydra_peft.workshop.timing._report import Report, Seconds, compared, median, ratio, spread
from hydra_peft.workshop.timing._variants import ModelSettings, build

PLAIN, MERGED, UNMERGED = "plain backbone", "hydra r=2+2, merged", "hydra r=2+2, unmerged"


@dataclass(frozen=True)
class Settings(ModelSettings):
    """What is measured on; a pass is short, so more rounds than other suites take."""

    repeats: int = 9


def run(device: torch.device, settings: Settings, report: Report) -> None:
    """Measure one forward pass of each model side by side on ``device``."""
    precision = fastest_precision(device.type)
    report.settings = settings.described(precision)
    models = {
        PLAIN: build("full", settings.architecture, device),
        MERGED: build("hydra r=2+2", settings.architecture, device),
        UNMERGED: build("hydra r=2+2", settings.architecture, device),
    }
    merge(models[MERGED])
    works = {
        name: _pass(model.eval(), settings.batch_size, device, precision)
        for name, model in models.items()
    }
    seconds = report.in_turns(
        works, settings.repeats, lambda found: _rows(found, settings.batch_size)
    )
    for above, goal in ((MERGED, "1.00 +- 0.01"), (UNMERGED, "none")):
        quotients = ratio(seconds, above, PLAIN)
        report.notes.append(compared(f"{above} / {PLAIN}", quotients, goal))


def _rows(seconds: Seconds, batch_size: int) -> list[dict[str, Any]]:
    return [
        {
            "forward pass": name,
            "ms": 1000 * median(found),
            "range": spread([1000 * one for one in found]),
            "images/s": batch_size / median(found),
        }
        for name, found in seconds.items()
    ]


def _pass(
    model: nn.Module, batch_size: int, device: torch.device, precision: str
) -> Callable[[], None]:
    images = torch.randn(batch_size, 3, *input_size(model), device=device)

    def work() -> None:
        with torch.no_grad(), autocast(device, precision):
            model(images)

    return work
