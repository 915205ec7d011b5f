"""Suite ``table8``: the paper's Table 8, three methods by 19 tasks, at VTAB-1k's true sizes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch

from hydra_peft.backbones.architectures import input_size
from hydra_peft.checkout import option
from hydra_peft.config.benchmarks import find_benchmark
from hydra_peft.data.split import Split
from hydra_peft.training.batches import Normalizer
from hydra_peft.training.devices import fastest_precision
from hydra_peft.training.evaluation import EVALUATION_BATCH
from hydra_peft.workshop.timing._files import MEAN, STD
from hydra_peft.workshop.timing._models import (
    CLASSES,
    HYDRA,
    LORA,
    SEQLORA,
    Training,
    adamw,
    build,
    compiled_where_it_pays,
    training_step,
)
from hydra_peft.workshop.timing._report import (
    Report,
    median,
    readable,
    synchronize,
    timed,
    wanted,
)
from hydra_peft.workshop.timing.settings import Table8Settings

ROWS = (LORA, SEQLORA, HYDRA)
#: images of a split, by the task's name: to train on and to score
Sizes = dict[str, tuple[int, int]]


@dataclass
class _Method:
    """A model that a method trains, with the measured seconds of its parts.

    Attributes:
        training: of the model, compiled where that pays.
        train, score: seconds an image.
        runs: measured over predicted seconds of the whole runs that were done.
    """

    training: Training
    train: float
    score: float
    runs: list[float]

    def predicted(self, sizes: tuple[int, int], epochs: int) -> float:
        """Return the seconds of a run on so many training and test images."""
        return epochs * sizes[0] * self.train + sizes[1] * self.score


def run(device: torch.device, settings: Table8Settings, report: Report) -> None:
    """Measure the parts of all 57 runs, and as many whole runs as fit; predict the others.

    Images are random and in memory.
    """
    limit = time.perf_counter() + settings.seconds
    sizes = _sizes(settings.divide)
    precision = fastest_precision(device.type)
    report.settings = {
        **vars(settings),
        "precision": precision,
        "tasks": len(sizes),
        "images": "random",
    }
    report.label = "predicted"
    methods: dict[str, _Method] = {}
    for name in ROWS:
        report.say(f"{name}: steps and scoring")
        methods[name] = _measure_parts(name, device, precision, settings)
        report.add(_all_predicted(name, methods[name], sizes, settings.epochs))
        report.notes.append(_arithmetic(name, methods[name], sizes, device, settings))
    if wanted(settings.timed, device.type == "cuda"):
        report.rows = []  # from now on one for each run
        _time(report, methods, sizes, settings, limit)
    minutes = readable(sum(row["s"] for row in report.rows) / 60)
    report.notes.append(
        f"whole table, {report.label}: {minutes} minutes (goal on one H200: at most 30)"
    )
    report.notes.append("decoding of files into the cache is left out, see suite data")


def _sizes(divide: int) -> Sizes:
    """Return the numbers of training and test images of each task of VTAB-1k."""
    found = {}
    for task in sorted(find_benchmark("vtab1k").tasks):
        sizes = option("dataset", task)["sizes"]
        found[task] = (max(1, sizes["train"] // divide), max(1, sizes["test"] // divide))
    return found


def _all_predicted(name: str, method: _Method, sizes: Sizes, epochs: int) -> dict[str, Any]:
    seconds = sum(method.predicted(of_task, epochs) for of_task in sizes.values())
    return {"method": name, "task": "all", "s": seconds, "label": "predicted"}


def _arithmetic(
    name: str, method: _Method, sizes: Sizes, device: torch.device, settings: Table8Settings
) -> str:
    """Return the sentence that says how the seconds of a method's runs are predicted."""
    trained = settings.epochs * sum(train for train, _ in sizes.values())
    tested = sum(test for _, test in sizes.values())
    hours = (trained * method.train + tested * method.score) / 3600
    batch, scored = _batches(device, settings)
    return (
        f"{name}: {trained:,} images x {1000 * method.train:.3g} ms + {tested:,} test images x "
        f"{1000 * method.score:.3g} ms = {hours:.3g} hours, measured in batches of {batch} and "
        f"{scored}"
    )


def _batches(device: torch.device, settings: Table8Settings) -> tuple[int, int]:
    """Return the images of a step and of a pass of scoring from which runs are predicted."""
    if device.type == "cpu":
        few = min(settings.batch_size, 16)
        return few, few
    return settings.batch_size, EVALUATION_BATCH


def _measure_parts(
    name: str, device: torch.device, precision: str, settings: Table8Settings
) -> _Method:
    model = compiled_where_it_pays(build(name, settings.architecture, device), device)
    batch, scored = _batches(device, settings)
    step = training_step(model, batch, device, precision)
    training = Training(model, Normalizer(MEAN, STD, device), device, precision)
    images = _random(scored, input_size(model))

    def score() -> None:
        training.score(images)

    calls = 20 if device.type == "cuda" else 1
    seconds = []
    for work in (step, score):
        model.train(work is step)
        work()
        seconds.append(median(timed(work, device, settings.repeats, calls=calls)))
    return _Method(training, seconds[0] / batch, seconds[1] / scored, [])


def _time(
    report: Report,
    methods: dict[str, _Method],
    sizes: Sizes,
    settings: Table8Settings,
    limit: float,
) -> None:
    """Do whole runs, those that are short first, until ``limit``; add a row for each run."""
    labels = set()
    for task, of_task in sorted(sizes.items(), key=lambda item: sum(item[1])):
        for name, method in methods.items():
            seconds, label = method.predicted(of_task, settings.epochs), "predicted"
            if time.perf_counter() + seconds < limit:
                measured = _one_run(method.training, of_task, settings)
                method.runs.append(measured / seconds)
                seconds, label = measured, "measured"
            labels.add(label)
            report.add({"method": name, "task": task, "s": seconds, "label": label})
    report.label = " and ".join(sorted(labels))
    report.notes += [
        f"{name}: {len(method.runs)} whole runs took {readable(median(method.runs))} of what was "
        "predicted"
        for name, method in methods.items()
        if method.runs
    ]


def _one_run(training: Training, sizes: tuple[int, int], settings: Table8Settings) -> float:
    """Return the seconds of training and scoring."""
    size = input_size(training.model)
    images, test = (_random(count, size) for count in sizes)
    synchronize(training.device)
    begun = time.perf_counter()
    training.train(
        images.in_memory(training.device),
        adamw(training.model),
        epochs=settings.epochs,
        batch_size=settings.batch_size,
    )
    training.score(test)
    synchronize(training.device)
    return time.perf_counter() - begun


def _random(count: int, size: tuple[int, int]) -> Split:
    one = torch.randint(0, 256, (min(count, EVALUATION_BATCH), 3, *size), dtype=torch.uint8)
    images = one.repeat(-(-count // len(one)), 1, 1, 1)[:count]
    return Split({"image": images}, torch.arange(count) % CLASSES)
