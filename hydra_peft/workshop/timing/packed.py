"""Suite ``packed``: a step of several runs over one frozen backbone, together and one by one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.profiler import record_function
from torch.nn import functional as F

from hydra_peft.backbones.architectures import input_size
from hydra_peft.packing.model import PackedModel
from hydra_peft.packing.together import compute_together
from hydra_peft.training.passes import Pass, compute_alone
from hydra_peft.training.seeding import RandomStreams
from hydra_peft.workshop.timing._memory import peak_of_step
from hydra_peft.workshop.timing._models import (
    CLASSES,
    HYDRA,
    LORA,
    METHODS,
    SEQLORA,
    adamw,
    adapted,
    precisions,
)
from hydra_peft.workshop.timing._report import Report, Seconds, in_ms, median
from hydra_peft.workshop.timing.settings import PackedSettings

TOGETHER, IN_TURN = "together", "one after another"
_COMPARED = (LORA, SEQLORA, HYDRA)


def run(device: torch.device, settings: PackedSettings, report: Report) -> None:
    """Measure packed steps on ``device``; runs differ in method, images and head."""
    asked = precisions(settings.precisions, device)
    report.settings = {**vars(settings), "precisions": list(asked)}
    models = []
    for number, title in zip(range(max(settings.runs)), itertools.cycle(_COMPARED), strict=False):
        report.say(f"building run {number + 1}: {title}")
        models.append(adapted(settings.architecture, *METHODS[title], device))
    for precision in asked:
        for batch_size in settings.batch_sizes:
            runs = [_Run(model, batch_size, device, precision) for model in models]
            for count in settings.runs:
                _compare(runs[:count], batch_size, device, settings, report)
            largest = runs[: max(settings.runs)]
            title = f"{len(largest)} runs, batch {batch_size}, {precision}"
            report.profile(_steps(largest)[0], title=title)


class _Run:
    """A run's pass on random images, and its optimizer."""

    def __init__(
        self, model: nn.Module, batch_size: int, device: torch.device, precision: str
    ) -> None:
        self.model, self.optimizer = model, adamw(model)
        images = torch.randn(batch_size, 3, *input_size(cast(Any, model)), device=device)
        labels = torch.randint(0, CLASSES, (batch_size,), device=device)
        random = RandomStreams.seeded(0, 0, 0, device)
        with random:
            pass
        trained = [p for p in model.parameters() if p.requires_grad]

        def loss_of(outputs: Tensor) -> Tensor:
            return F.cross_entropy(outputs, labels)

        self.one = Pass(model, images, loss_of, trained, precision, device, random)


def _compare(
    runs: Sequence[_Run],
    batch_size: int,
    device: torch.device,
    settings: PackedSettings,
    report: Report,
) -> None:
    steps, difference = _steps(runs)
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


def _steps(runs: Sequence[_Run]) -> tuple[dict[str, Callable[[], None]], float]:
    """Return a step of all ``runs``, together and one by one, and how far their losses differ."""
    packed = PackedModel([run.model for run in runs])
    passes = [run.one for run in runs]

    def together() -> None:
        _step(runs, lambda: compute_together(packed, passes))

    def in_turn() -> None:
        for run in runs:
            _step([run], lambda run=run: compute_alone(run.one))  # type: ignore[misc]

    return {TOGETHER: together, IN_TURN: in_turn}, _difference(packed, passes)


def _step(runs: Sequence[_Run], compute: Callable[[], object]) -> None:
    for run in runs:
        run.optimizer.zero_grad(set_to_none=True)
    compute()
    with record_function("optimizer"):
        for run in runs:
            run.optimizer.step()


def _difference(packed: PackedModel, passes: Sequence[Pass]) -> float:
    """Return the largest difference of a run's loss together with others from that alone."""
    pairs = zip(
        compute_together(packed, passes), [compute_alone(one) for one in passes], strict=True
    )
    return max(abs(float(ours[0]) - float(own[0])) for ours, own in pairs)
