"""Jobs that take a second."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from hydra_peft.sweeps.job import Job

SHORT = (
    "train.epochs=1",
    "scheduler.warmup_epochs=0",
    "train.batch_size=500",
    "method=linear",
    "device=cpu",
)


@pytest.fixture
def make_job(tmp_path: Path, compose_train: Callable[..., object]) -> Callable[..., Job]:
    """Compose a job as a sweep does: overrides to a job whose interpolations are unresolved."""

    def made(*overrides: str) -> Job:
        paths = (f"paths.runs={tmp_path}/runs", f"paths.cache={tmp_path}/cache")
        config = compose_train(*SHORT, *paths, *overrides)
        return Job(tuple(overrides), json.dumps(OmegaConf.to_container(config, resolve=False)))

    return made
