"""Completed runs that were never done: records of jobs as a real run would have written them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from hydra_peft.config.identity import config_id, science
from hydra_peft.config.schema import RunConfig
from hydra_peft.runs.assembly import data_sha256, load_backbone
from hydra_peft.runs.existing import folder_of
from hydra_peft.runs.record import Record, write_record


def fabricate(real: Record, configs: Iterable[RunConfig], **changes: object) -> None:
    """Write a record for each of ``configs``: that of ``real`` under the identity of each."""
    hashes: dict[str, str] = {}
    weights = None
    for config in configs:
        if weights is None:
            weights = load_backbone(config.model, config.seed)[1]
        if config.dataset.name not in hashes:
            hashes[config.dataset.name] = data_sha256(config)
        record = dataclasses.replace(
            real,
            config_id=config_id(config),
            settings=config.settings,
            benchmark=config.dataset.benchmark,
            group=config.dataset.group,
            task=config.dataset.name,
            method=config.method.identity(),
            method_label=config.method.label,
            seed=config.seed,
            science=science(config),
            data={**real.data, "sha256": hashes[config.dataset.name]},
            **changes,
        )
        folder = folder_of(config, weights)
        folder.mkdir(parents=True, exist_ok=True)
        write_record(record, folder)
