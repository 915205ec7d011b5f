"""Short real runs on the embedded backbone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from few_images import SIZES, shorten
from prepared_root import write_task

from hydra_peft.config.check import check_config
from hydra_peft.config.schema import RunConfig
from hydra_peft.runs.on_device import on_device
from hydra_peft.runs.outcome import Outcome
from hydra_peft.runs.run import run

SHORT = ["train.epochs=2", "scheduler.warmup_epochs=0", "train.batch_size=16"]
#: two blocks with random weights: a run on them takes half of the time
SHALLOW = ["model.pretrained=false", "+model.arguments.depth=2"]


@pytest.fixture(autouse=True, scope="module")
def _short_tasks() -> Iterator[None]:
    # One of its own: tests undo theirs.
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch)
        yield


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all short runs: what is in it is named by its content."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def small_task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared root with one small task, svhn: 83 images to train on, 40 to score."""
    root = tmp_path_factory.mktemp("data")
    write_task(root / "svhn", classes=10, train800=60, val200=23, test=40)
    return root


@pytest.fixture
def shallow() -> list[str]:
    """Words that choose a small model."""
    return SHALLOW


@pytest.fixture
def model() -> list[str]:
    """Words that choose the model; a module that is about its weights has its own."""
    return SHALLOW


@pytest.fixture
def configure(
    compose_train: Callable[..., Any], tmp_path: Path, shared_cache: Path, model: list[str]
) -> Callable[..., RunConfig]:
    """Compose a short run below ``tmp_path``: its checked config."""

    def compose(*overrides: str) -> RunConfig:
        paths = [f"paths.runs={tmp_path}/runs", f"paths.cache={shared_cache}", "device=cpu"]
        config = compose_train(*SHORT, *model, *paths, *overrides)
        if config.dataset.source == "mini":
            config.dataset.sizes = SIZES
        return on_device(check_config(config))

    return compose


@pytest.fixture
def do(configure: Callable[..., RunConfig]) -> Callable[..., Outcome]:
    """Do a short run with overrides."""
    return lambda *overrides: run(configure(*overrides))
