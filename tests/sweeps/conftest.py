"""Jobs that take a second."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from few_images import SIZES, shorten

from hydra_peft.config.check import check_config
from hydra_peft.runs.on_device import on_device
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
    """Compose a job as a sweep does: overrides to a job with its checked config."""

    def made(*overrides: str) -> Job:
        paths = (f"paths.runs={tmp_path}/runs", f"paths.cache={shared_cache}")
        config = compose_train(*SHORT, *paths, *overrides)
        if sizes is not None:
            config.dataset.sizes = sizes
        return Job.of(overrides, on_device(check_config(config)))

    return made
