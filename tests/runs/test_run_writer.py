"""What a run writes while it goes on is on the disk before its record says completed."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from fabricated_runs import record

from hydra_peft.errors import UserError
from hydra_peft.runs.checkpoints import FOLDER, Checkpoints, Origin, checkpoints_exist
from hydra_peft.runs.folder import METRICS, check_no_links
from hydra_peft.runs.hparams import TENSORBOARD, write_end
from hydra_peft.runs.tracking import Tracking
from hydra_peft.runs.writer import LOG, RunWriter, log
from hydra_peft.trackers import Start
from hydra_peft.trackers.csv import FILE as VALUES
from hydra_peft.trackers.csv import Csv
from hydra_peft.trackers.tensorboard import TensorBoard
from hydra_peft.training.progress import EpochRecord


@pytest.mark.parametrize("ends_badly", [False, True])
def test_all_epochs_are_synced_when_the_writer_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends_badly: bool
) -> None:
    synced: dict[int, int] = {}
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        fsync(descriptor)
        state = os.fstat(descriptor)
        synced[state.st_ino] = state.st_size

    monkeypatch.setattr(os, "fsync", noted)
    try:
        with RunWriter(tmp_path, "title", steps=2) as writer:
            for epoch in (1, 2):
                writer.epoch(EpochRecord(epoch, 1.0, 50.0, 1e-3, 1.0, 100.0), 2)
            if ends_badly:
                raise RuntimeError("so it ends")
    except RuntimeError:
        assert ends_badly
    state = (tmp_path / METRICS).stat()
    assert len((tmp_path / METRICS).read_text().splitlines()) == 3
    assert synced[state.st_ino] == state.st_size


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder with files of somebody else, in which nothing changes."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for name in ("file", "events.out.tfevents.1.x.failed", "step-00000001.safetensors"):
        (folder / name).write_text("mine")
    yield folder
    assert {path.read_text() for path in folder.iterdir()} == {"mine"}
    assert len(list(folder.iterdir())) == 3


def to_link(path: Path, target: Path) -> None:
    path.symlink_to(target)


def to_hard_link(path: Path, target: Path) -> None:
    path.hardlink_to(target)


def to_pipe(path: Path, _: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize("plant", [to_link, to_hard_link, to_pipe])
@pytest.mark.parametrize("done", [0, 1])
def test_a_resumed_run_writes_through_no_link(
    tmp_path: Path, elsewhere: Path, plant: Callable[[Path, Path], None], done: int
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    for name in (METRICS, LOG):
        plant(run / name, elsewhere / "file")
    (run / TENSORBOARD).symlink_to(elsewhere)
    plant(run / VALUES, elsewhere / "file")
    (run / FOLDER).symlink_to(elsewhere)
    epoch = EpochRecord(1, 1.0, 50.0, 1e-3, 1.0, 100.0)
    tracking = Tracking({"tensorboard": TensorBoard(), "csv": Csv()})
    epochs = [epoch][:done]
    with RunWriter(run, "title", steps=2, done=done, epochs=epochs, tracking=tracking) as writer:
        tracking.begin(
            Start(run, "title", record("running"), {}, "", epochs_done=done, resumed=bool(done))
        )
        writer.epoch(dataclasses.replace(epoch, epoch=2), 2)
    tracking.end(record(), run)
    # What TensorBoard would take for the newest file of the run.
    plant(run / TENSORBOARD / "events.out.tfevents.9999999999.x", elsewhere / "file")
    write_end(record(), run)
    checkpoints = Checkpoints(run, Origin("0", "0", "0", "2.6"))
    checkpoints.write(1, {"a": torch.zeros(1)}, {})
    assert checkpoints_exist(run)
    assert len((run / METRICS).read_text().splitlines()) == 2 + done
    assert "epoch 2/2" in (run / LOG).read_text()
    assert "2,train/loss,1.0" in (run / VALUES).read_text()
    for place in (TENSORBOARD, FOLDER):
        assert not (run / place).is_symlink()


def test_an_own_log_is_appended_to(tmp_path: Path) -> None:
    for done in (0, 1):
        with RunWriter(tmp_path, "title", steps=2, done=done):
            log.info("part %d", done)
    text = (tmp_path / LOG).read_text()
    assert text.index("part 0") < text.index("part 1")


def test_runs_are_not_written_below_links(tmp_path: Path) -> None:
    runs = tmp_path / "linked"
    (tmp_path / "real" / "task").mkdir(parents=True)
    runs.symlink_to(tmp_path / "real")
    check_no_links(runs, runs / "task" / "run")  # the folder of all runs is the user's own choice
    (runs / "other").symlink_to(tmp_path / "real" / "task")
    with pytest.raises(UserError, match=r"other is a link, and runs are not written through links"):
        check_no_links(runs, runs / "other" / "run")
    with pytest.raises(UserError, match=r"remove it, or put the folder itself there\.$"):
        check_no_links(runs, runs / "other")
    (runs / "other").unlink()
    for target, said in (("other", "one of links that lead to each other"), ("gone", "a link to")):
        (runs / "other").symlink_to(target)
        with pytest.raises(UserError, match=rf"other is {said}.*through links: remove it\.$"):
            check_no_links(runs, runs / "other" / "run")
        (runs / "other").unlink()
