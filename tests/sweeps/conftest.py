"""Jobs that take a second."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from few_images import SIZES, shorten
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
def sizes(monkeypatch: pytest.MonkeyPatch) -> dict[str, int] | None:
    """Images by split; none where other processes, which are not patched, do the jobs."""
    shorten(monkeypatch)
    return SIZES


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all jobs: what is in it is named by its content."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def make_job(
    tmp_path: Path,
    sizes: dict[str, int] | None,
    shared_cache: Path,
    compose_train: Callable[..., Any],
) -> Callable[..., Job]:
    """Compose a job as a sweep does: overrides to a job whose interpolations are unresolved."""

    def made(*overrides: str) -> Job:
        paths = (f"paths.runs={tmp_path}/runs", f"paths.cache={shared_cache}")
        config = compose_train(*SHORT, *paths, *overrides)
        if sizes is not None:
            config.dataset.sizes = sizes
        return Job(tuple(overrides), json.dumps(OmegaConf.to_container(config, resolve=False)))

    return made
