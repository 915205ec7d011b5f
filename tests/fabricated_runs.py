"""Run folders as runs leave them, made up without training."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
from pathlib import Path
from typing import Any

from flat_results import in_fields

from hydra_peft.config.identity import short_hash
from hydra_peft.errors import UserError
from hydra_peft.methods import build_method, method_class
from hydra_peft.runs.record import Record, write_record
from hydra_peft.training.progress import EpochRecord

EPOCHS = 30


def record(status: str = "completed", seed: int = 0, **changes: Any) -> Record:
    """Return a record with what a run of ``mini/digits`` writes, some 5 kB as json."""
    science = {
        "dataset": {"name": "digits", "benchmark": "mini", "classes": 10, "group": "natural"},
        "model": {"architecture": "vit_mini", "pretrained": True},
        "train": {"epochs": EPOCHS, "batch_size": 64, "clip_grad": None, "drop_last": False},
        "optimizer": {"name": "adamw", "lr": 1e-3, "weight_decay": 1e-4},
        "method": build_method("hydra", rank=2).identity(),
        "seed": seed,
    }
    done: dict[str, Any] = {
        "metrics": {
            "accuracy": 98.25,
            "correct": 393,
            "count": 400,
            "split": "test",
            "selection": "last epoch",
        },
        "parameters": {"adapter": 16_680, "head": 1_290, "trainable": 17_970, "total": 1_036_594},
        "times": {"prepare": 0.4, "train_and_evaluate": 48.2, "train": 47.1, "total": 49.0},
        "images_per_second": 812.4,
    }
    values: dict[str, Any] = {
        "status": status,
        "config_id": f"{seed:012x}",
        "settings": {f"group{i}.value{j}": i * j for i in range(10) for j in range(10)},
        "benchmark": "mini",
        "group": "natural",
        "task": "digits",
        "model": "vit_mini",
        "method": science["method"],
        "method_label": "hydra r=2+2",
        "protocol": "clean",
        "seed": seed,
        "science": science,
        "started": "2026-01-01T12:30:00+00:00",
        "weights": {"kind": "pretrained", "source": "embedded", "sha256": "f" * 64},
        "data": {"sha256": "a" * 64, "splits": {"train": "b" * 64, "test": "c" * 64}},
        "versions": {f"package{i}": "1.2.3" for i in range(20)},
        **(done if status == "completed" else {}),
        **changes,
    }
    return agreeing(Record(**in_fields(values)))


def agreeing(record: Record) -> Record:
    """Return ``record`` with what a run would have: counts, epoch, label, science and id.

    The science keeps the ``config_id`` that was given, so that other ids stay others.
    """
    if record.status != "completed":
        return record
    counts, most = dict(record.counts), 10**9
    score, given = record.score, (counts.get("correct"), counts.get("scored"))
    scored = isinstance(score, int | float) and 0 <= score <= 100 and given[0] is not None
    if scored and 100 * given[0] / given[1] != score:
        counts = {"correct": round(score * most / 100), "scored": most}
    groups = {key: value for key, value in record.science.items() if isinstance(value, dict)}
    dataset = {"made_up": record.config_id, **groups.get("dataset", {})}
    science = {**groups, "dataset": dataset, "method": record.method, "seed": record.seed}
    for key, value in record.settings.items():
        group, _, name = key.partition(".")
        if name in science.get(group, {}) and value not in ("recipe", "tuned"):
            science[group] = {**science[group], name: value}
    if "pretrained" in science.get("model", {}) and "kind" in record.weights:
        pretrained = record.weights["kind"] == "pretrained"
        science["model"] = {**science["model"], "pretrained": pretrained}
        if "model.pretrained" in record.settings:
            settings = {**record.settings, "model.pretrained": pretrained}
            record = dataclasses.replace(record, settings=settings)
    selection, epochs = record.selection, science.get("train", {}).get("epochs")
    if epochs is not None and "epoch" in selection:
        selection = {**selection, "epoch": epochs}
    if short_hash(record.science) == record.config_id:
        science = record.science  # of a real config
    read = record.data.get("counts", {})
    data = {**record.data, "counts": {**read, record.split: counts["scored"]}} if read else None
    label, name = record.method_label, record.method.get("name")
    with contextlib.suppress(UserError):
        label = build_method(name, **method_class(name).options_of(record.method)).label
    return dataclasses.replace(
        record,
        counts=counts,
        data=data or record.data,
        selection=selection,
        method_label=label,
        science=science,
        config_id=short_hash(science),
    )


def edited(folder: Path, **changes: Any) -> Path:
    """Change values in the record of ``folder`` as one of older code has them, without a seal."""
    path = folder / "result.json"
    content = json.loads(path.read_text())
    content.pop("seal", None)
    path.write_text(json.dumps(content | changes))
    return path


def folder_name(seed: int = 0) -> str:
    """Return where the run of :func:`record` is, relative to the runs."""
    return f"mini/digits/hydra-r=2+2-seed{seed}-{seed:012x}-22d74e89"


def put(runs: Path, status: str = "completed", seed: int = 0, **changes: Any) -> Path:
    """Write such a record below ``runs``; return its folder."""
    folder = runs / folder_name(seed)
    write_record(record(status, seed, **changes), folder)
    return folder


def epochs(folder: Path, *seconds: float, first: int = 1) -> Path:
    """Write ``metrics.csv`` with epochs that took so many ``seconds``; return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "metrics.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([field.name for field in dataclasses.fields(EpochRecord)])
        for epoch, taken in enumerate(seconds, first):
            line = EpochRecord(epoch, 1.0 / epoch, 50.0, 1e-3, taken, 1000.0 / taken)
            writer.writerow(dataclasses.astuple(line))
    return path


def announce(runs: Path, name: str, started: str, folders: list[str], changes: Any = None) -> Path:
    """Write what a sweep announces at its start; job i has the override ``seed=i``.

    ``changes`` are made to it before it is written.
    """
    jobs = [{"folder": folder, "overrides": f"seed={i}"} for i, folder in enumerate(folders)]
    path = runs / ".sweeps" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    value = {"schema": 1, "started": started, "command": "train.py -m", "jobs": jobs}
    value |= changes or {}
    path.write_text(json.dumps(value))
    return path
