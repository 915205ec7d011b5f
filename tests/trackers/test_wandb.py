"""Weights & Biases itself, offline, without a login and without a network."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from fabricated_runs import record

from hydra_peft.runs.tracking import Tracking, ids_in
from hydra_peft.trackers import Start
from hydra_peft.trackers.wandb import WandB

wandb = pytest.importorskip("wandb", reason="needs wandb: pip install 'hydra-peft[wandb]'")


@pytest.fixture(autouse=True)
def _nobody_is_logged_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "home" / "netrc"))
    (tmp_path / "home").mkdir()
    wandb.teardown()  # it read the environment of an earlier test


@pytest.fixture
def start(tmp_path: Path) -> Start:
    folder = tmp_path / "run"
    folder.mkdir()
    config = {"optimizer": {"lr": 0.25}}
    return Start(folder, "digits hydra seed 0", record("running"), config, "")


@pytest.mark.long  # W&B starts a process of its own, and takes seconds to end it
def test_runs_are_written_offline_and_gone_on_with(start: Start) -> None:
    trackers = {"wandb": WandB(project="p", tags=["mine", "long" * 30], mode="offline")}
    for part in (start, dataclasses.replace(start, resumed=True, epochs_done=1)):
        tracking = Tracking(trackers)
        tracking.begin(part)
        tracking.values({"train/loss": 0.5}, 1 + part.epochs_done)
        tracking.values({"test/accuracy": 75.0}, 1 + part.epochs_done)
        tracking.end(record(), start.folder)
    id = ids_in(start.folder)["wandb"]
    files = sorted(start.folder.glob("wandb/offline-run-*/*.wandb"))
    assert {file.name for file in files} == {f"run-{id}.wandb"}  # what `wandb sync` puts together
    content = files[0].read_bytes()
    for said in (b"train/loss", b"test/accuracy", b"result/test_accuracy", b"digits hydra seed 0"):
        assert said in content
    for label in (b"mine", b"hydra r=2+2", b"clean", b"config_id", start.record.config_id.encode()):
        assert label in content


def test_without_a_login_the_run_goes_on_alone(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    tracking = Tracking({"wandb": WandB(mode="online")})
    tracking.begin(start)
    tracking.values({"train/loss": 0.5}, 1)
    tracking.end(record(), start.folder)
    ours = [entry.getMessage() for entry in caplog.records if entry.name == "hydra_peft"]
    assert ours == [
        "logger=wandb failed and shows no more of this run: RuntimeError: nobody is logged in to "
        "W&B: wandb login, or logger.wandb.mode=offline"
    ]


@pytest.mark.long  # it tries again
def test_without_a_network_the_run_goes_on_alone(
    start: Start, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_INIT_TIMEOUT", "1")
    tracking = Tracking({"wandb": WandB(mode="online")})
    tracking.begin(start)
    tracking.values({"train/loss": 0.5}, 1)
    tracking.end(record(), start.folder)
    (entry,) = [entry for entry in caplog.records if entry.name == "hydra_peft"]
    assert entry.getMessage().startswith("logger=wandb failed and shows no more of this run: ")
