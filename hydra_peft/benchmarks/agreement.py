"""Suite ``agreement``: the fast form of training ends where the plain one does."""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from hydra_peft.adaptation.injection import set_training_mode
from hydra_peft.adapters.low_rank import LowRankLinear
from hydra_peft.benchmarks._report import Report
from hydra_peft.data.feeding import prepare_split
from hydra_peft.data.sources import Task, load_task
from hydra_peft.data.splits import ImageSplit
from hydra_peft.methods import build_method
from hydra_peft.models.backbones import build_backbone
from hydra_peft.runs.assembly import AdaptedModel, build_model
from hydra_peft.training.batches import to_device
from hydra_peft.training.evaluation import evaluate
from hydra_peft.training.loop import train
from hydra_peft.training.optimizer import build_adamw
from hydra_peft.training.seeding import generator, seed_everything

CLASSES = 10
BATCH_SIZE = 16
LR = 3e-3
#: of images of vit_mini, in pixels
SIZE = (32, 32)


@dataclass(frozen=True)
class Settings:
    """What is measured on: ``vit_mini`` on task ``digits`` of benchmark ``mini``.

    Attributes:
        steps: training steps of 16 images.
        seeds: runs in bfloat16, of each form.
    """

    steps: int = 200
    seeds: int = 5


def run(device: torch.device, settings: Settings) -> Report:
    """Train in both forms on ``device`` and compare losses and accuracies."""
    report = Report("agreement", {**vars(settings), "batch_size": BATCH_SIZE, "lr": LR})
    with tempfile.TemporaryDirectory(prefix="hydra_peft-bench-") as cache:
        splits = _splits(Path(cache))
        pairs = {
            fused: _train(splits, fused, 0, "fp32", settings.steps, device)
            for fused in (True, False)
        }
        worst = float(((pairs[True][0] - pairs[False][0]) / pairs[False][0]).abs().max())
        report.notes.append(
            f"float32, seed 0: the {settings.steps} losses differ by at most {worst:.1e} of "
            "themselves (goal 1e-4)"
        )
        for precision in ("fp32", "bf16"):
            for fused in (True, False):
                scores = [
                    _train(splits, fused, seed, precision, settings.steps, device)[1]
                    for seed in range(settings.seeds)
                ]
                report.rows.append(
                    {
                        "precision": precision,
                        "form": "fused" if fused else "three branches",
                        "accuracy": statistics.mean(scores),
                        "deviation over seeds": statistics.pstdev(scores),
                        "by seed": ", ".join(f"{score:.1f}" for score in scores),
                    }
                )
    return report


def _splits(cache: Path) -> dict[str, ImageSplit]:
    task = Task("mini", "digits", None, (), CLASSES, cache, cache, ("train", "test"))
    loaded = load_task("mini", task)
    return {
        name: prepare_split(split, size=SIZE, cache=None, title=name)
        for name, split in loaded.splits.items()
    }


def _train(
    splits: dict[str, ImageSplit],
    fused: bool,
    seed: int,
    precision: str,
    steps: int,
    device: torch.device,
) -> tuple[Tensor, float]:
    """Return the losses of all steps, float64, and the accuracy on the test set in percent."""
    adapted = _model(seed, device)
    for module in adapted.model.modules():
        if isinstance(module, LowRankLinear):
            module.fused = fused
    trained = [p for p in adapted.model.parameters() if p.requires_grad]
    losses: list[Tensor] = []
    split = to_device(splits["train"], device)
    epochs = -(-steps // (len(split) // BATCH_SIZE))
    seed_everything(seed)
    train(
        adapted.model,
        split,
        epochs=epochs,
        batch_size=BATCH_SIZE,
        drop_last=True,
        clip_grad=None,
        label_smoothing=0.0,
        optimizer=build_adamw(trained, lr=LR, weight_decay=1e-4, betas=(0.9, 0.999), eps=1e-8),
        learning_rate=lambda *_: LR,
        prepare=adapted.normalize,
        order=generator(seed, "batches"),
        device=device,
        precision=precision,
        before_epoch=lambda: set_training_mode(adapted.model),
        after_step=losses.append,
        after_epoch=lambda _: None,
    )
    score = evaluate(
        adapted.model,
        splits["test"],
        prepare=adapted.normalize,
        device=device,
        precision=precision,
    )
    return torch.stack(losses).double().cpu(), score.accuracy


def _model(seed: int, device: torch.device) -> AdaptedModel:
    backbone, _ = build_backbone(
        "vit_mini", arguments={}, drop_path=0.0, checkpoint=None, pretrained=True, seed=seed
    )
    return build_model(
        backbone,
        build_method("hydra", dropout=0.1),
        classes=CLASSES,
        seed=seed,
        device=device,
        normalization="backbone",
    )
