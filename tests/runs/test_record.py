"""Records: written atomically, read with suspicion."""

from __future__ import annotations

import dataclasses
import errno
import json
from pathlib import Path

import pytest

from hydra_peft.config.identity import short_hash
from hydra_peft.errors import UserError
from hydra_peft.files import atomic_write
from hydra_peft.runs.record import Record, read_record, write_record

RECORD = Record(
    status="completed",
    config_id=short_hash({}),
    settings={"a": 1},
    benchmark="mini",
    group="natural",
    task="digits",
    model="vit_mini",
    method={"name": "lora"},
    method_label="lora r=4",
    protocol="clean",
    seed=0,
    science={},
    started="2026-01-01T00:00:00+00:00",
    scores={"test": {"accuracy": 50.0}},
    primary="accuracy",
    selection={"rule": "last", "split": "test"},
    counts={"scored": 2, "correct": 1},
    parameters={"adapter": 1, "head": 1},
)


def test_round_trip(tmp_path: Path) -> None:
    write_record(RECORD, tmp_path)
    assert read_record(tmp_path) == RECORD


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 3}, "has schema 3, this version reads 1 and 2"),
        ({"surprise": 1}, "unknown"),
        ({"seed": "0"}, "no usable seed"),
        ({"status": "fine"}, "no usable status"),
        ({"scores": []}, "no usable scores"),
        ({"scores": {}}, "of a completed run, yet lacks"),
    ],
)
def test_records_that_are_not_ours(tmp_path: Path, change: dict, message: str) -> None:
    content = {**dataclasses.asdict(RECORD), **change}
    (tmp_path / "result.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=message):
        read_record(tmp_path)


def test_truncated_record(tmp_path: Path) -> None:
    write_record(RECORD, tmp_path)
    path = tmp_path / "result.json"
    path.write_text(path.read_text()[:100])
    with pytest.raises(UserError, match="not valid json"):
        read_record(tmp_path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[" * 100_000, "lists or objects are nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "a number has more than 4300 digits"),
        (b'{"a": "\xff"}', "byte 8 is not UTF-8 text"),
        (b'{"a": 1,\n "b" 2}', "expecting ':' delimiter in line 2, column 6"),
        (b'{"a": NaN}', "NaN is not a finite number"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_in_words(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_record(tmp_path)
    assert str(caught.value) == f"{path} is not valid json ({reason}): truncated or edited?"


def test_a_failed_write_keeps_the_earlier_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    atomic_write(path, b"first")

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "disk")

    monkeypatch.setattr("hydra_peft.files.os.replace", fail)
    with pytest.raises(OSError, match="disk"):
        atomic_write(path, b"second")
    assert path.read_bytes() == b"first"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
