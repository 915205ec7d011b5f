"""Suite ``packed``: a step of several runs over one frozen backbone, together and one by one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import torch

from hydra_peft.workshop.timing._memory import peak_of_step
from hydra_peft.workshop.timing._models import (
    COMPARED,
    build,
    compiled_where_it_pays,
    precisions,
)
from hydra_peft.workshop.timing._packs import IN_TURN, TOGETHER, PackedRun, packed_steps
from hydra_peft.workshop.timing._report import Report, Seconds, in_ms, median
from hydra_peft.workshop.timing.settings import PackedSettings


def run(device: torch.device, settings: PackedSettings, report: Report) -> None:
    """Measure packed steps on ``device``; runs differ in method, images and head."""
    asked = precisions(settings.precisions, device)
    report.settings = {**vars(settings), "precisions": list(asked)}
    models = []
    for number, title in zip(range(max(settings.runs)), itertools.cycle(COMPARED), strict=False):
        report.say(f"building run {number + 1}: {title}")
        model = build(title, settings.architecture, device)
        models.append(compiled_where_it_pays(model, device))  # as a run alone is
    for precision in asked:
        for batch_size in settings.batch_sizes:
            runs = [PackedRun(model, batch_size, device, precision) for model in models]
            for count in settings.runs:
                _compare(runs[:count], batch_size, device, settings, report)
            largest = runs[: max(settings.runs)]
            title = f"{len(largest)} runs, batch {batch_size}, {precision}"
            report.profile(packed_steps(largest)[0], title=title)


def _compare(
    runs: Sequence[PackedRun],
    batch_size: int,
    device: torch.device,
    settings: PackedSettings,
    report: Report,
) -> None:
    steps, difference = packed_steps(runs)
    precision = runs[0].one.precision
    where = f"{len(runs)} runs, batch {batch_size}, {precision}"
    peaks = {}
    if device.type == "cuda":
        peaks = {
            name: {"peak MB": peak_of_step(step, device) / 1e6} for name, step in steps.items()
        }

    def row(name: str, seconds: Seconds) -> dict[str, Any]:
        found = {"step": name, "runs": len(runs), "batch": batch_size, "precision": precision}
        rate = len(runs) * batch_size / median(seconds[name])
        return {**found, **in_ms(seconds[name]), "images/s": rate, **peaks.get(name, {})}

    seconds = report.in_turns(steps, settings.repeats, row, calls=settings.calls, title=where)
    goal = "at most 0.4 of 8 runs at batch 16 on a GPU" if device.type == "cuda" else "at most 1.0"
    report.compare(seconds, ((TOGETHER, IN_TURN, goal),), title=where)
    report.notes.append(f"{where}: losses together and alone differ by at most {difference:.1e}")
