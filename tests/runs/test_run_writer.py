"""What a run writes while it goes on is on the disk before its record says completed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hydra_peft.runs.folder import METRICS
from hydra_peft.runs.writer import RunWriter
from hydra_peft.training.loop import EpochRecord


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
