"""Suite ``table8``: the paper's Table 8, three methods by 19 tasks, at VTAB-1k's true sizes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import torch
from omegaconf import OmegaConf

from hydra_peft.benchmarks._files import MEAN, STD
from hydra_peft.benchmarks._report import Report, median, readable, synchronize, timed
from hydra_peft.benchmarks._training import adamw, train_all
from hydra_peft.benchmarks._variants import CLASSES, build, training_step
from hydra_peft.data.splits import ImageSplit
from hydra_peft.models.architectures import input_size
from hydra_peft.training.batches import Normalizer, to_device
from hydra_peft.training.compiling import compile_blocks, pays
from hydra_peft.training.devices import fastest_precision
from hydra_peft.training.evaluation import EVALUATION_BATCH, evaluate

DATASETS = Path(__file__).resolve().parents[2] / "conf" / "dataset"
ROWS = ("lora r=4", "seqlora r=6", "hydra r=2+2")


@dataclass(frozen=True)
class Settings:
    """What is measured on.

    Attributes:
        architecture: timm's name of the model.
        epochs: passes over the 1000 images.
        batch_size: images a step.
        repeats: times each part is taken for a prediction; the median is used.
        timed: ``auto`` does all runs where there is CUDA and predicts elsewhere; ``true``,
            ``false``.
        divide: takes only this fraction of each number of images; for trying the suite out.
    """

    architecture: str = "vit_base_patch16_224"
    epochs: int = 100
    batch_size: int = 64
    repeats: int = 3
    timed: str = "auto"
    divide: int = 1


def run(device: torch.device, settings: Settings) -> Report:
    """Time or predict all 57 runs on ``device``; images are random and in memory."""
    sizes = _sizes(settings.divide)
    precision = fastest_precision(device.type)
    report = Report(
        "table8",
        {**vars(settings), "precision": precision, "tasks": len(sizes), "images": "random"},
    )
    really = settings.timed == "true" or (settings.timed == "auto" and device.type == "cuda")
    if really:
        _time(report, sizes, device, precision, settings)
    else:
        _predict(report, sizes, device, precision, settings)
        report.label = "predicted"
    minutes = readable(sum(row["s"] for row in report.rows) / 60)
    report.notes.append(
        f"whole table, {report.label}: {minutes} minutes (goal on one H200: at most 30)"
    )
    report.notes.append("decoding of files into the cache is left out, see suite data")
    return report


def _sizes(divide: int) -> dict[str, tuple[int, int]]:
    """Return the numbers of training and test images of each task of VTAB-1k, by name."""
    found = {}
    for path in sorted(DATASETS.glob("*.yaml")):
        sizes = OmegaConf.load(path).sizes
        found[path.stem] = (max(1, sizes.train // divide), max(1, sizes.test // divide))
    return found


def _time(
    report: Report,
    sizes: dict[str, tuple[int, int]],
    device: torch.device,
    precision: str,
    settings: Settings,
) -> None:
    for method in ROWS:
        for task, (train_size, test_size) in sizes.items():
            synchronize(device)
            begun = time.perf_counter()
            model = build(method, settings.architecture, device)
            if pays(device):
                compile_blocks(model, cuda_graph=False)
            _one_run(model, train_size, test_size, device, precision, settings)
            synchronize(device)
            report.rows.append({"method": method, "task": task, "s": time.perf_counter() - begun})


def _one_run(
    model: torch.nn.Module,
    train_size: int,
    test_size: int,
    device: torch.device,
    precision: str,
    settings: Settings,
) -> None:
    normalize = Normalizer(MEAN, STD, device)
    train_all(
        model,
        to_device(_random(train_size, input_size(model)), device),
        adamw(model),
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        prepare=normalize,
        device=device,
        precision=precision,
    )
    test = _random(test_size, input_size(model))
    evaluate(model, test, prepare=normalize, device=device, precision=precision)


def _random(count: int, size: tuple[int, int]) -> ImageSplit:
    one = torch.randint(0, 256, (min(count, EVALUATION_BATCH), *size, 3), dtype=torch.uint8)
    images = one.repeat(-(-count // len(one)), 1, 1, 1)[:count]
    return ImageSplit(images, torch.arange(count) % CLASSES)


def _predict(
    report: Report,
    sizes: dict[str, tuple[int, int]],
    device: torch.device,
    precision: str,
    settings: Settings,
) -> None:
    batch = min(settings.batch_size, 16) if device.type == "cpu" else settings.batch_size
    trained = settings.epochs * sum(train_size for train_size, _ in sizes.values())
    tested = sum(test_size for _, test_size in sizes.values())
    for method in ROWS:
        model = build(method, settings.architecture, device)
        step = training_step(model, batch, device, precision)
        step()
        seconds = median(timed(step, device, settings.repeats))
        images = _random(batch, input_size(model))
        normalize = Normalizer(MEAN, STD, device)
        score = median(
            timed(
                lambda model=model, images=images, normalize=normalize: evaluate(  # type: ignore[misc]
                    model, images, prepare=normalize, device=device, precision=precision
                ),
                device,
                settings.repeats,
            )
        )
        predicted = trained * seconds / batch + tested * score / batch
        report.rows.append({"method": method, "task": "all, predicted", "s": predicted})
        report.notes.append(
            f"{method}: {trained:,} images x {1000 * seconds / batch:.1f} ms + {tested:,} test "
            f"images x {1000 * score / batch:.1f} ms = {predicted / 3600:.1f} hours, measured in "
            f"batches of {batch}"
        )
