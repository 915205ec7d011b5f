"""The record of a run that begins."""

from __future__ import annotations

import dataclasses

import torch

from hydra_peft.backbones.backbones import Weights
from hydra_peft.config.identity import science, short_hash
from hydra_peft.config.schema import RunConfig
from hydra_peft.runs import environment
from hydra_peft.runs.record import Record, utc_now


def new_record(
    config: RunConfig,
    weights: Weights,
    *,
    device: torch.device,
    processes: int,
    tuning: dict[str, object],
) -> Record:
    """Return the record, status ``running``, of the run that ``config`` describes.

    Args:
        weights: of the backbone.
        device: what computes.
        processes: how many do the run together.
        tuning: what the record says of how hyper-parameters were chosen.
    """
    decides = science(config)
    return Record(
        status="running",
        config_id=short_hash(decides),
        settings=config.settings,
        benchmark=config.dataset.benchmark,
        group=config.dataset.group,
        task=config.dataset.name,
        model=config.model.name,
        method=config.method.identity(),
        method_label=config.method.label,
        protocol=config.protocol.name,
        seed=config.seed,
        science=decides,
        started=utc_now(),
        hardware={**environment.hardware(device), "processes": processes},
        versions=environment.versions(),
        code=environment.code_version(),
        weights=dataclasses.asdict(weights),
        tuning=tuning,
        init_from=decides.get("init_from", {}),
    )
