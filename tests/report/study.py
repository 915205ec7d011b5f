"""A study as sweeps leave it, made up without training: many runs, and all that can be wrong."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import json
import math
import random
from pathlib import Path
from typing import Any

from fabricated_runs import agreeing
from flat_results import changed, in_fields

from hydra_peft.config.text import to_yaml
from hydra_peft.errors import UserError
from hydra_peft.methods import method_class
from hydra_peft.runs.record import FILE, Record
from hydra_peft.training.progress import EpochRecord

TASKS = {
    "digits": "natural",
    "cells": "specialized",
    "texture": "specialized",
    "shapes_count": "structured",
    "sprites_location": "structured",
}
METHODS = {"linear": 0, "seqlora": 16_700, "hydra": 16_680, "lora": 19_240}
LABELS = {"linear": "linear", "seqlora": "seqlora r=6", "hydra": "hydra r=2+2", "lora": "lora r=4"}
SCRIPT = "<script>alert(1)</script>"
WEIGHTS = "22d74e899552dbfbbd8f5debedce154dc5435ae1b9c23d74666401009a5e0494"


def digest(*parts: object) -> str:
    """Return 64 hexadecimal digits that belong to ``parts``."""
    return f"{random.Random(repr(parts)).getrandbits(256):064x}"


def run_record(name: str = "hydra", task: str = "digits", seed: int = 0, **changes: Any) -> Record:
    """Return the record of a run on ``mini`` with all that a real one says."""
    noise = random.Random(repr((name, task, seed))).gauss(0, 0.6)
    accuracy = {"linear": 64.0}.get(name, 81.0) + 3 * len(task) % 11 + noise
    ranks = {"lora": (4, 0), "seqlora": (0, 6), "hydra": (2, 2)}.get(name)
    identity: dict[str, Any] = {"name": name}
    if ranks:
        identity |= {"targets": ["attn.proj", "mlp.fc2"], "scale": 1.0, "dropout": 0.0}
        identity |= {"bias": True, "init": "gaussian"}
        identity |= {"rank_parallel": ranks[0], "rank_sequential": ranks[1]}
    science = {
        "model": {"architecture": "vit_mini", "pretrained": True, "drop_path": 0.0},
        "dataset": {"benchmark": "mini", "name": task, "group": TASKS.get(task, "natural")},
        "optimizer": {"name": "adamw", "lr": 0.01, "weight_decay": 0.0001, "betas": [0.9, 0.999]},
        "train": {"epochs": 20, "batch_size": 32, "clip_grad": None},
        "method": identity,
        "seed": seed,
    }
    values: dict[str, Any] = {
        "status": "completed",
        "config_id": digest(name, task, seed)[:12],
        "settings": {f"method.{key}": value for key, value in identity.items()}
        | {f"model.{key}": value for key, value in science["model"].items()}
        | {"protocol.train_split": "train"},
        "benchmark": "mini",
        "group": TASKS.get(task, "natural"),
        "task": task,
        "model": "vit_mini",
        "method": identity,
        "method_label": LABELS.get(name, name),
        "protocol": "clean",
        "seed": seed,
        "science": science,
        "started": f"2026-01-0{1 + seed % 9}T12:30:00+00:00",
        "weights": {"kind": "pretrained", "source": "embedded vit_mini", "sha256": WEIGHTS},
        "data": {
            "sha256": digest(task),
            "splits": {"train": digest(task, "train"), "test": digest(task, "test")},
            "counts": {"train": 1000, "test": 1000},
            "lineage": "generated",
            "partial": False,
            "notes": [],
        },
        "metrics": {
            "accuracy": round(accuracy, 1),
            "correct": round(accuracy * 10),
            "count": 1000,
            "split": "test",
            "selection": "last epoch",
            "epoch": 20,
        },
        "parameters": {"adapter": METHODS.get(name, 1), "head": 1_290, "total": 1_036_594},
        "times": {"prepare": 0.4, "train": 47.1 + seed, "total": 49.0 + seed + noise},
        "images_per_second": 20_000 / (47.1 + seed),
        "memory": {"bytes": 1_197_899_776, "of": "whole process"},
        "hardware": {"cpu": "Xeon", "cores": 2, "threads": 1, "gpu": None, "device": "cpu"},
        "versions": {"python": "3.11.7", "torch": "2.15.0", "timm": "1.0.31", "numpy": "2.4.6"},
        "code": {"commit": "e9398c8412d691f358de1aec48ed11d89559eeb5", "dirty": False},
    }
    return agreeing(Record(**in_fields({**values, **changes})))


def config(record: Record) -> str:
    """Return a ``config.yaml`` of that run, some 2 kB."""
    recipe = {"epochs": 20, "batch_size": 32, "lr": {"adapter": 0.01, "linear": 0.02}}
    grid = {f"option{i}": [0.001 * i, 0.002 * i, 0.005 * i] for i in range(20)}
    science = record.science
    groups: dict[str, dict[str, Any]] = {
        "model": {"name": record.model, "checkpoint": None, "arguments": {}},
        "dataset": {"recipe": recipe | {"grid": grid}, "classes": 10},
        "method": {"recipe": "adapter"},
        "optimizer": {},
        "protocol": {"name": record.protocol, "grid": grid},
        "train": {"compile": "auto", "checkpoint_every": 10},
    }
    said = {group: {**values, **science.get(group, {})} for group, values in groups.items()}
    with contextlib.suppress(UserError):  # a name that is no method's
        options = method_class(science["method"]["name"]).options_of(science["method"])
        said["method"] = {"recipe": "adapter", "name": science["method"]["name"], **options}
    return to_yaml({**science, **said})


def metrics(folder: Path, epochs: int, seed: int = 0) -> None:
    """Write ``metrics.csv`` of so many epochs, of digits that do not repeat."""
    draw = random.Random(repr((str(folder), seed)))
    with (folder / "metrics.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([field.name for field in dataclasses.fields(EpochRecord)])
        for epoch in range(1, epochs + 1):
            # Down to some 0.0003, which has many digits.
            loss = 2.3 * math.exp(-9 * epoch / epochs) * (0.8 + 0.2 * draw.random())
            accuracy = 99 - 40 * loss + draw.random()
            line = EpochRecord(
                epoch, loss, accuracy, 1e-3, 0.4 + draw.random(), 812 + draw.random()
            )
            writer.writerow(dataclasses.astuple(line))


def put(runs: Path, record: Record, *, epochs: int = 20, folder: str | None = None) -> Path:
    """Write the run of ``record`` as ``train.py`` does; return its folder."""
    train = {**record.science["train"], "epochs": epochs}
    record = agreeing(dataclasses.replace(record, science={**record.science, "train": train}))
    if record.images_per_second:
        rate = 1000 * record.science["train"]["epochs"] / record.times["train"]
        record = dataclasses.replace(record, images_per_second=rate)
    name = f"{record.method_label.replace(' ', '-')}-seed{record.seed}-{record.config_id}"
    place = runs / (folder or f"{record.benchmark}/{record.task}/{name}")
    place.mkdir(parents=True, exist_ok=True)
    # Not write_record, which waits for the disk.
    (place / FILE).write_text(json.dumps(dataclasses.asdict(record), indent=2))
    (place / "config.yaml").write_text(config(record))
    metrics(place, epochs, record.seed)
    return place


def grid(runs: Path, *, seeds: int, epochs: int = 20, tasks: int = len(TASKS)) -> int:
    """Write all methods on all tasks with so many seeds; return how many runs there are."""
    cells = [(m, t, s) for m in METHODS for t in list(TASKS)[:tasks] for s in range(seeds)]
    for method, task, seed in cells:
        put(runs, run_record(method, task, seed), epochs=epochs)
    return len(cells)


def troubled(runs: Path) -> None:
    """Write runs of which every one gives a warning, one of them named to do harm."""
    nothing: dict[str, Any] = {"metrics": {}}
    broken = run_record("lora", "digits", 7, status="failed", error="CUDA out of memory", **nothing)
    folder = put(runs, dataclasses.replace(broken, traceback="traceback.txt"))
    (folder / "traceback.txt").write_text(
        "Traceback (most recent call last):\n  RuntimeError: <b>\n"
    )
    text = "the loss became nan in epoch 2, step 5: lower optimizer.lr"
    put(runs, run_record("hydra", "cells", 8, status="diverged", error=text, **nothing), epochs=2)
    put(runs, run_record("hydra", "digits", 8, status="interrupted", error="SIGTERM", **nothing))
    put(runs, run_record("lora", "cells", 8, status="running", **nothing))
    random_weights = {"kind": "random", "source": "seed 0", "sha256": "0" * 64}
    put(runs, run_record("lora", "digits", 9, weights=random_weights))
    partial = run_record("lora", "cells", 9)
    put(runs, dataclasses.replace(partial, data=partial.data | {"partial": True}))
    on_test = run_record("hydra", "digits", 9, protocol="official")
    rule = {"selection": "best of 10 evaluations on test"}
    put(runs, changed(on_test, **rule))
    put(runs, run_record("seqlora", "cells", 9, code={"commit": "0123456789ab", "dirty": True}))
    harm = run_record(
        "hydra",
        SCRIPT,
        9,
        method_label=SCRIPT,
        protocol=f'"><img src=x onerror=alert(2)>{SCRIPT}',
        model="javascript:alert(3)",
        status="failed",
        error=f"{SCRIPT}\u202egnp.exe\x1b[31m\u2028 & </script>",
        hardware={"gpu": SCRIPT, SCRIPT: "</script><script>alert(4)</script><!--"},
        **nothing,
    )
    folder = put(runs, harm, folder=f"mini/{SCRIPT}")
    (folder / "config.yaml").write_text(f"name: {SCRIPT}\nother: '{SCRIPT}'\n")


def unreadable(runs: Path) -> None:
    """Write what is no run any more: truncated, of a newer schema, with damaged files."""
    folder = put(runs, run_record("lora", "texture", 11))
    (folder / "result.json").write_bytes((folder / "result.json").read_bytes()[:700])
    newer = put(runs, run_record("lora", "texture", 12))
    text = (newer / "result.json").read_text().replace('"schema": 2', '"schema": 3')
    (newer / "result.json").write_text(text)
    (put(runs, run_record("lora", "texture", 13)) / "metrics.csv").write_text(
        "epoch,loss\nx\n1,2\n"
    )
    (put(runs, run_record("lora", "texture", 14)) / "config.yaml").write_bytes(b"x" * 2**20)
    twice = run_record("lora", "texture", 15)
    put(runs, twice)
    put(runs, twice, folder="mini/texture/copied")
