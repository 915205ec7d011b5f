"""Suite ``merge``: inference of a merged model over that of the plain backbone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from hydra_peft.adaptation.merging import merge
from hydra_peft.backbones.architectures import input_size
from hydra_peft.training.devices import autocast, fastest_precision
from hydra_peft.workshop.timing._models import HYDRA, build
from hydra_peft.workshop.timing._report import Report, Seconds, in_ms, median
from hydra_peft.workshop.timing.settings import MergeSettings

PLAIN, MERGED, UNMERGED = "plain backbone", f"{HYDRA}, merged", f"{HYDRA}, unmerged"


def run(device: torch.device, settings: MergeSettings, report: Report) -> None:
    """Measure one forward pass of each model side by side on ``device``."""
    precision = fastest_precision(device.type)
    report.settings = {**vars(settings), "precision": precision}
    models = {
        PLAIN: build("full", settings.architecture, device),
        MERGED: build(HYDRA, settings.architecture, device),
        UNMERGED: build(HYDRA, settings.architecture, device),
    }
    merge(models[MERGED])
    works = {
        name: _pass(model.eval(), settings.batch_size, device, precision)
        for name, model in models.items()
    }

    def row(name: str, seconds: Seconds) -> dict[str, Any]:
        rate = settings.batch_size / median(seconds[name])
        return {"forward pass": name, **in_ms(seconds[name]), "images/s": rate}

    seconds = report.in_turns(works, settings.repeats, row)
    report.compare(seconds, [(MERGED, PLAIN, "1.00 +- 0.01"), (UNMERGED, PLAIN, "none")])


def _pass(
    model: nn.Module, batch_size: int, device: torch.device, precision: str
) -> Callable[[], None]:
    images = torch.randn(batch_size, 3, *input_size(model), device=device)

    def work() -> None:
        with torch.no_grad(), autocast(device, precision):
            model(images)

    return work
