"""Suite ``agreement``: the fast form of training ends where the plain one does."""

from __future__ import annotations

import statistics
from pathlib import Path

import torch
from torch import Tensor

from hydra_peft.backbones.backbones import build_backbone
from hydra_peft.data.feeding import prepare_split
from hydra_peft.data.sources import DataRequest, load_task
from hydra_peft.data.split import Split
from hydra_peft.heads.linear import Linear
from hydra_peft.methods import build_method
from hydra_peft.runs.assembly import AdaptedModel, build_model
from hydra_peft.workshop.timing._models import Training, adamw, set_fused
from hydra_peft.workshop.timing._report import Report, scratch_folder
from hydra_peft.workshop.timing.settings import AgreementSettings

CLASSES = 10
BATCH_SIZE = 16
LR = 3e-3
#: of images of vit_mini, in pixels
SIZE = (32, 32)


def run(device: torch.device, settings: AgreementSettings, report: Report) -> None:
    """Train in both forms on ``device`` and compare losses and accuracies."""
    report.settings = {**vars(settings), "batch_size": BATCH_SIZE, "lr": LR}
    with scratch_folder() as cache:
        splits = _splits(cache)
        pairs = {
            fused: _train(splits, fused, 0, "fp32", settings.steps, device)
            for fused in (True, False)
        }
        worst = float(((pairs[True][0] - pairs[False][0]) / pairs[False][0]).abs().max())
        report.notes.append(
            f"float32, seed 0: the {len(pairs[True][0])} losses differ by at most {worst:.1e} of "
            "themselves (goal 1e-4)"
        )
        for precision in ("fp32", "bf16"):
            for fused in (True, False):
                form = "fused" if fused else "three branches"
                scores = []
                for seed in range(settings.seeds):
                    score = _train(splits, fused, seed, precision, settings.steps, device)[1]
                    report.say(f"{precision}, {form}, seed {seed}: {score:.1f}%")
                    scores.append(score)
                report.add(
                    {
                        "precision": precision,
                        "form": form,
                        "accuracy": statistics.mean(scores),
                        "deviation over seeds": statistics.pstdev(scores),
                        "by seed": ", ".join(f"{score:.1f}" for score in scores),
                    }
                )


def _splits(cache: Path) -> dict[str, Split]:
    request = DataRequest("mini", "digits", None, (), CLASSES, cache, cache, ("train", "test"))
    loaded = load_task("mini", request)
    return {
        name: prepare_split(split, size=SIZE, cache=None, title=name)
        for name, split in loaded.splits.items()
    }


def _train(
    splits: dict[str, Split],
    fused: bool,
    seed: int,
    precision: str,
    steps: int,
    device: torch.device,
) -> tuple[Tensor, float]:
    """Return the losses of all steps, float64, and the accuracy on the test set in percent."""
    adapted = _model(seed, device)
    set_fused(adapted.model, fused)
    training = Training(adapted.model, adapted.prepare, device, precision, CLASSES)
    split = splits["train"].in_memory(device)
    losses = training.train(
        split,
        adamw(adapted.model, lr=LR),
        epochs=-(-steps // (len(split) // BATCH_SIZE)),
        batch_size=BATCH_SIZE,
        drop_last=True,
        seed=seed,
    )
    return torch.stack(losses).double().cpu(), training.score(splits["test"])


def _model(seed: int, device: torch.device) -> AdaptedModel:
    backbone, _ = build_backbone(
        "vit_mini", arguments={}, drop_path=0.0, checkpoint=None, pretrained=True, seed=seed
    )
    return build_model(
        backbone,
        build_method("hydra", dropout=0.1),
        head=Linear(),
        classes=CLASSES,
        seed=seed,
        device=device,
        normalization="backbone",
    )
