"""Run folders for figures, made up without training: numbers by hand, curves that end in them."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

from fabricated_runs import agreeing
from flat_results import in_fields

from hydra_peft.runs.collection import Collection, collect
from hydra_peft.runs.folder import METRICS
from hydra_peft.runs.record import Record, write_record

GROUPS = {"a": "natural", "b": "structured", "c": "structured"}
HEADS = {"a": 10, "b": 20, "c": 30}


def made_up(
    method: str, task: str, seed: int, accuracy: float, *, rank: int = 4, **changes: Any
) -> Record:
    """Return a completed run; ``settings`` in ``changes`` are added to those of the method."""
    ranks = {"lora": (rank, 0), "seqlora": (0, rank), "hydra": (rank, rank)}.get(method)
    options: dict[str, Any] = {"name": method}
    label = method
    if ranks:
        options |= {"rank_parallel": ranks[0], "rank_sequential": ranks[1]}
        label += f" r={rank}+{rank}" if method == "hydra" else f" r={rank}"
    extra = changes.pop("settings", {})
    settings = {f"method.{key}": value for key, value in options.items()} | extra
    metrics = {"split": "test", "selection": "last epoch"} | changes.pop("metrics", {})
    science = {"method": options, "seed": seed, "dataset": task, "extra": extra}
    values: dict[str, Any] = {
        "status": "completed",
        "config_id": hashlib.sha256(repr((science, metrics, changes)).encode()).hexdigest()[:12],
        "settings": settings,
        "benchmark": "mini",
        "group": GROUPS.get(task, "natural"),
        "task": task,
        "model": "vit_mini",
        "method": options,
        "method_label": label,
        "protocol": "clean",
        "seed": seed,
        "science": science,
        "started": "2026-01-01T00:00:00+00:00",
        "weights": {"kind": "pretrained", "sha256": "1a2b3c4d" * 8},
        "data": {"sha256": f"data of {task}"},
        "metrics": {"accuracy": accuracy, "correct": 1, "count": 2, "epoch": 3, **metrics},
        "parameters": {"adapter": 100 * sum(ranks or (0,)), "head": HEADS.get(task, 10)},
    }
    return agreeing(Record(**in_fields({**values, **changes})))


def put(runs: Path, *records: Record) -> Collection:
    """Write ``records`` and three epochs of each below ``runs``; return what is collected there."""
    for record in map(agreeing, records):
        folder = runs / f"{record.task}-{record.method_label}-{record.seed}-{record.config_id}"
        write_record(record, folder)
        lines = ["epoch,loss,train_accuracy,lr,seconds,images_per_second"]
        for epoch in (1, 2, 3):
            trained = float(record.score or 0) + epoch - 3
            lines.append(f"{epoch},{(record.seed + 1) / epoch},{trained},0.001,1.0,100.0")
        (folder / METRICS).write_text("\n".join(lines) + "\n")
    return collect(runs)


def scores(method: str, by_task: dict[str, list[float]], **changes: Any) -> list[Record]:
    """Return runs with seeds 0, 1, ... of the accuracies of each task."""
    return [
        made_up(method, task, seed, accuracy, **changes)
        for task, accuracies in by_task.items()
        for seed, accuracy in enumerate(accuracies)
    ]


def with_tuned_ranks(collection: Collection, method: str) -> Collection:
    """Return ``collection`` as if the ranks of ``method`` had been searched for by task."""
    completed = []
    for run in collection.completed:
        settings = dict(run.record.settings)
        if run.record.method["name"] == method:
            settings |= {"method.rank_parallel": "tuned", "method.rank_sequential": "tuned"}
        record = dataclasses.replace(run.record, settings=settings)
        completed.append(dataclasses.replace(run, record=record))
    return dataclasses.replace(collection, completed=completed)
