"""Run folders with a model in them, made up without training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from fabricated_runs import record
from flat_results import flat
from omegaconf import OmegaConf
from torch import nn

from hydra_peft.adaptation.parameters import count_parameters, trainable_parameters
from hydra_peft.adaptation.storage import save_adapter
from hydra_peft.config.check import check_config
from hydra_peft.config.identity import config_id, science
from hydra_peft.files import atomic_write
from hydra_peft.runs.assembly import build_model, load_backbone, load_data
from hydra_peft.runs.first_look import data_request
from hydra_peft.runs.record import write_record


def put_model(
    compose: Callable[..., Any],
    folder: Path,
    *overrides: str,
    cache: Path | None = None,
    std: float = 0.05,
    **changes: Any,
) -> Path:
    """Write a completed run of ``conf/train.yaml`` with ``overrides``; return its folder.

    Adapter and head are drawn at random, with ``std=0`` up-projections are as before training. Its
    record knows the hashes of the test images only with ``cache``, where these are made.
    """
    composed = compose("device=cpu", *overrides, *([f"paths.cache={cache}"] if cache else []))
    config = check_config(composed)
    backbone, weights = load_backbone(config.model, config.seed)
    adapted = build_model(
        backbone,
        config.method,
        head=config.head,
        classes=config.dataset.classes,
        seed=config.seed,
        device=torch.device("cpu"),
        normalization=config.data.normalization,
    )
    if std:
        for parameter in trainable_parameters(adapted.model).adapter.values():
            nn.init.normal_(parameter, std=std)
    save_adapter(adapted.model, folder)
    data: dict[str, Any] = {"sha256": "a" * 64, "splits": {"test": "c" * 64}}
    if cache is not None:
        request = data_request(config.dataset, config.paths, ["test"])
        loaded = load_data(config.dataset, config.data, request, adapted.size, wanted=[])
        data = dict(loaded.description)
        count = loaded.description["counts"]["test"]  # type: ignore[index]
        correct = count * 98 // 100
        scored = {"accuracy": 100 * correct / count, "correct": correct, "count": count}
        changes = {"metrics": {**flat(record()), **scored}} | changes
    values = {
        "benchmark": config.dataset.benchmark,
        "task": config.dataset.name,
        "model": config.model.name,
        "group": config.dataset.group,
        "seed": config.seed,
        "config_id": config_id(config),
        "settings": config.settings,
        "science": science(config),
        "parameters": vars(count_parameters(adapted.model)),
        "method": config.method.identity(),
        "method_label": config.method.label,
        "weights": {"kind": weights.kind, "source": weights.source, "sha256": weights.sha256},
        "data": data,
        **changes,
    }
    atomic_write(folder / "config.yaml", OmegaConf.to_yaml(composed, resolve=True).encode())
    write_record(record(**values), folder)
    return folder
