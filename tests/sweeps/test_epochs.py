"""How far a run has come, by its ``metrics.csv``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fabricated_runs import epochs

from hydra_peft.sweeps.epochs import LastEpoch, read_progress


def test_the_last_epoch_and_the_median_of_the_last_five(tmp_path: Path) -> None:
    epochs(tmp_path, 90.0, 2.0, 2.5, 50.0, 1.0, 2.0)
    assert read_progress(tmp_path) == LastEpoch(
        epoch=6, loss=1 / 6, images_per_second=500.0, seconds=2.0
    )


def test_a_mark_of_the_encoding_that_an_editor_added(tmp_path: Path) -> None:
    path = epochs(tmp_path, 2.0)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    found = read_progress(tmp_path)
    assert found is not None
    assert found.seconds == 2.0


def test_a_long_file_gives_the_same_as_its_end(tmp_path: Path) -> None:
    taken = [1.0 + i % 7 for i in range(20_000)]
    path = epochs(tmp_path / "long", *taken)
    assert path.stat().st_size > 500_000
    epochs(tmp_path / "end", *taken[-5:], first=19_996)
    assert read_progress(tmp_path / "long") == read_progress(tmp_path / "end")


def test_every_torn_end_gives_the_epoch_before(tmp_path: Path) -> None:
    path = epochs(tmp_path, 2.0, 4.0)
    whole = path.read_bytes()
    one, two = LastEpoch(1, 1.0, 500.0, 2.0), LastEpoch(2, 0.5, 250.0, 3.0)
    lines = whole.splitlines(keepends=True)
    ends = [len(lines[0]), len(lines[0]) + len(lines[1]), len(whole)]
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        expected = two if size == ends[2] else one if size >= ends[1] else None
        assert read_progress(tmp_path) == expected, whole[:size]


@pytest.mark.parametrize(
    "damage",
    [b"\x00\x00\x00\n", b"3,nonsense,50,0.1,2.0,1\r\n", b"3,0.1\n", b"\xff\xfe,,,,,\n", b"\n"],
)
def test_a_damaged_line_is_passed_over(tmp_path: Path, damage: bytes) -> None:
    path = epochs(tmp_path, 2.0)
    before = read_progress(tmp_path)
    path.write_bytes(path.read_bytes() + damage)
    assert before is not None
    assert read_progress(tmp_path) == before


def test_no_file_another_file_and_a_pipe_say_nothing(tmp_path: Path) -> None:
    assert read_progress(tmp_path) is None
    (tmp_path / "metrics.csv").write_text("a,b\n1,2\n")
    assert read_progress(tmp_path) is None
    (tmp_path / "metrics.csv").unlink()
    os.mkfifo(tmp_path / "metrics.csv")
    assert read_progress(tmp_path) is None
