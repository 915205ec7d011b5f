"""Presets of conf/experiment: each says what it is for, composes, and its jobs fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from hydra_peft.backbones.backbones import Weights
from hydra_peft.cli import train
from hydra_peft.cli.composing import compositions
from hydra_peft.cli.expanding import expand
from hydra_peft.sweeps.plan import plan

CONF = Path(__file__).resolve().parents[2] / "conf"
NAMES = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_is_for(name: str) -> None:
    head = (CONF / f"experiment/{name}.yaml").read_text()
    for line in ("# Fills:", "# Command:", "# Expect:", "# Time:"):
        assert line in head, line


@pytest.fixture
def reasons(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., set[str]]:
    """Say why jobs of a preset, named by their places in its grid, cannot be done.

    But for those on data and weights: what VTAB-1k needs is not here.
    """
    monkeypatch.setattr("hydra_peft.sweeps.plan.check_data", lambda _: None)
    monkeypatch.setattr("hydra_peft.sweeps.plan._weights", lambda _: Weights("none", "", "0" * 64))
    for module in ("runs.first_look", "runs.assembly"):
        monkeypatch.setattr(f"hydra_peft.{module}.check_weights_exist", lambda *_: None)
    train.register()
    paths = [f"paths.runs={tmp_path}/runs", f"paths.cache={tmp_path}/cache"]

    def found(name: str, *places: int) -> set[str]:
        GlobalHydra.instance().clear()
        with initialize_config_dir(str(CONF), version_base="1.3"):
            loader = GlobalHydra.instance().config_loader()
            words = [f"+experiment={name}", *paths]
            config = loader.load_configuration("train", words, RunMode.MULTIRUN)
            jobs = expand(config, loader)
            assert len(jobs) > 1
            # One by one: there is little that jobs so different share.
            some = [one for at in places for one in compositions(config, loader, [jobs[at]])]
            return {str(job.reason) for job in plan(some) if job.state != "new"}

    return found


def check(name: str, reasons: set[str]) -> None:
    # The run of MNLI, from which others start, is a stage of its own, done first.
    starts = "init_from=task:mnli starts from the run of glue/mnli"
    assert all(reason.startswith(starts) for reason in reasons), reasons
    assert not reasons or name in ("table3", "table9")


@pytest.mark.parametrize("name", NAMES)
def test_it_composes_and_the_last_job_of_its_grid_fits(
    reasons: Callable[..., set[str]], name: str
) -> None:
    check(name, reasons(name, -1))


@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_its_first_job_fits_beside_its_last(reasons: Callable[..., set[str]], name: str) -> None:
    """These differ in all that is swept."""
    check(name, reasons(name, 0, -1))


def test_there_are_those_that_the_readme_begins_with() -> None:
    assert {"demo", "mini", "mini_random"} <= set(NAMES)
