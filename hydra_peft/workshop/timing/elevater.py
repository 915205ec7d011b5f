"""Suite ``elevater``: ELEVATER's search and final run on one few-shot task, against a plain loop.

The plain loop does what the released code does (extremebird/Hydra, ``elevater``): each trial builds
the model and reads the data anew, workers decode every file in every epoch, three branches, and a
split is scored after each epoch: the held-out images in trials, the test set in the final run.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from hydra_peft.adaptation.injection import inject
from hydra_peft.backbones.architectures import build_architecture
from hydra_peft.config.check import check_recorded
from hydra_peft.runs.tuning import run_protocol
from hydra_peft.training.allocation import keep_freed_memory
from hydra_peft.workshop.timing._composed import composed
from hydra_peft.workshop.timing._files import plain_loader, write_files
from hydra_peft.workshop.timing._models import set_fused
from hydra_peft.workshop.timing._report import Report, readable, scratch_folder, synchronize
from hydra_peft.workshop.timing.settings import ElevaterSettings
from hydra_peft.workshop.timing.task import WORKERS

#: as the toolkit has them
_RATES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
_DECAYS = [10 ** (place / 8 - 6) for place in range(97)]
_MOMENTUM = 0.9


def run(device: torch.device, settings: ElevaterSettings, report: Report) -> None:
    """Measure both on ``device``, one after the other."""
    report.settings = {**vars(settings), "plain_loop_workers": WORKERS}
    with scratch_folder() as folder:
        report.say("writing the image files")
        files = _write(folder, settings)
        ours, trials = _ours(files, device, settings, report)
        plain = _plain(files, device, settings, trials, report)
    goal = "0.333 on 2 cores of a CPU" if device.type == "cpu" else "0.125 on a GPU"
    report.notes.append(f"ours / plain loop: {readable(ours / plain)} (goal at most {goal})")


def _typed(values: Sequence[float]) -> str:
    """Return ``values`` as one types them."""
    return f"[{','.join(f'{value:.6g}' for value in values)}]"


@dataclass(frozen=True)
class _Files:
    """What both loops read: images by class, those of training first, and the model's weights."""

    root: Path
    train: list[list[Path]]
    test: list[list[Path]]
    weights: Path


def _write(folder: Path, settings: ElevaterSettings) -> _Files:
    shots, classes = settings.shots, settings.classes
    each = -(-settings.test_images // classes)
    written = iter(write_files(folder, classes * (shots + each)))
    placed: dict[str, list[list[Path]]] = {"train": [], "test": []}
    for split, count in (("train", shots), ("test", each)):
        for label in range(classes):
            place = folder / "images" / split / f"class{label:03d}"
            place.mkdir(parents=True)
            chosen = [next(written) for _ in range(count)]
            placed[split].append([file.rename(place / file.name) for file in chosen])
    torch.manual_seed(0)
    weights = folder / "weights.safetensors"
    save_file(build_architecture(settings.architecture, {}).state_dict(), weights)
    return _Files(folder / "images", placed["train"], placed["test"], weights)


def _ours(
    files: _Files, device: torch.device, settings: ElevaterSettings, report: Report
) -> tuple[float, int]:
    """Do what a user's command does; return the seconds of all, and how many trials there were."""
    out = files.root.parent
    grid = f"{{lr:{_typed(_RATES[-settings.rates :])},weight_decay:{_typed(_DECAYS)}}}"
    words = [
        *("dataset=folder", f"dataset.root={files.root}", f"dataset.shots={settings.shots}"),
        *("dataset.split=[0.9,0,0.1]", "dataset.sampling_seed=0"),
        *("method=hydra", "head.norm=batch"),
        *("optimizer=sgd", "optimizer.lr=0.1", "scheduler=constant"),
        *("protocol.tune=true", "protocol.search=elevater", f"protocol.grid.optimizer={grid}"),
        *("protocol.grid.method={scale:null,dropout:null}", f"train.epochs={settings.epochs}"),
        *(f"protocol.trial_epochs={settings.trial_epochs}", f"device={device.type}"),
        *(f"train.batch_size={settings.batch_size}", "model=timm"),
        *(f"model.architecture={settings.architecture}", f"model.checkpoint={files.weights}"),
        *(f"paths.runs={out}/runs", f"paths.cache={out}/cache"),
    ]
    config = check_recorded(yaml.safe_load(composed(words)))
    if device.type == "cpu":
        keep_freed_memory()
    synchronize(device)
    begun = time.perf_counter()
    record = run_protocol(config).record
    seconds = time.perf_counter() - begun
    trials = int(record.tuning["trials"])
    final = record.times["total"]
    report.add(_row("ours", f"search, {trials} trials", seconds - final))
    report.add(_row("ours", "final run", final))
    report.add(_row("ours", "all", seconds))
    return seconds, trials


def _plain(
    files: _Files, device: torch.device, settings: ElevaterSettings, trials: int, report: Report
) -> float:
    """Do the plain loop, of the trials as many as asked for; return the seconds of all of it."""
    held_out = [of_class[:1] for of_class in files.train]
    fitted = [of_class[1:] for of_class in files.train]
    done = min(trials, settings.plain_trials)
    seconds = 0.0
    for number in range(done):
        seconds += _train(files, fitted, held_out, settings.trial_epochs, device, settings)
        report.say(f"plain loop: {number + 1} of {done} trials after {seconds:.1f} s")
    if done < trials:
        report.label = "measured and predicted"
        report.notes.append(f"plain loop: {trials} trials are predicted from {done} of them.")
    search = seconds * trials / done
    label = "measured" if done == trials else "predicted"
    report.add(_row("plain loop", f"search, {trials} trials", search, label))
    final = _train(files, files.train, files.test, settings.epochs, device, settings)
    report.add(_row("plain loop", "final run", final))
    report.add(_row("plain loop", "all", search + final, label))
    return search + final


def _train(
    files: _Files,
    trained: list[list[Path]],
    scored: list[list[Path]],
    epochs: int,
    device: torch.device,
    settings: ElevaterSettings,
) -> float:
    """Do a trial, or the final run; return its seconds."""
    synchronize(device)
    begun = time.perf_counter()
    model = _model(files.weights, device, settings)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=1e-3, momentum=_MOMENTUM, weight_decay=1e-4)
    training = _loader(trained, settings, device, shuffle=True)
    scoring = _loader(scored, settings, device, shuffle=False)
    for _ in range(epochs):
        model.train()
        for images, targets in training:
            loss = F.cross_entropy(model(images.to(device)), torch.as_tensor(targets).to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            for images, targets in scoring:
                hits = model(images.to(device)).argmax(1) == torch.as_tensor(targets).to(device)
                hits.sum().item()
    synchronize(device)
    return time.perf_counter() - begun


def _model(weights: Path, device: torch.device, settings: ElevaterSettings) -> nn.Module:
    model = build_architecture(settings.architecture, {})
    model.load_state_dict(load_file(weights))
    cast(Any, model).reset_classifier(settings.classes)
    inject(model, "hydra", rank=2)
    set_fused(model, False)
    return model.to(device)


def _loader(
    images: list[list[Path]], settings: ElevaterSettings, device: torch.device, *, shuffle: bool
) -> DataLoader[tuple[Tensor, int]]:
    pairs = [(file, label) for label, files in enumerate(images) for file in files]
    return plain_loader(
        [file for file, _ in pairs],
        [label for _, label in pairs],
        settings.batch_size,
        device,
        size=(settings.pixels, settings.pixels),
        shuffle=shuffle,
        workers=WORKERS,
    )


def _row(loop: str, part: str, seconds: float, label: str = "measured") -> dict[str, Any]:
    return {"loop": loop, "part": part, "s": seconds, "label": label}
