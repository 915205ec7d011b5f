"""``metrics.csv``: what can be read of it, and a sentence on the rest."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fabricated_runs import EPOCHS, epochs, record
from flat_results import flat

from hydra_peft.errors import UserError
from hydra_peft.runs.history import read_history

LINES = [b"epoch,loss,train_accuracy,lr,seconds,images_per_second\r\n"]
LINES += [b"%d,%.2f,50.0,0.001,1.0,9.0\r\n" % (epoch, 30 / epoch) for epoch in range(1, EPOCHS + 1)]


@pytest.mark.parametrize(
    ("content", "count", "fault"),
    [
        (LINES, EPOCHS, ""),
        (LINES[:20], 19, "11 of 30 epochs are missing, the first is 20"),
        ([*LINES[:-1], LINES[-1][:9]], 29, "it ends within a line; 1 of 30 epochs is missing"),
        ([*LINES[:5], *LINES[9:]], 26, "4 of 30 epochs are missing, the first is 5"),
        (LINES[:1], 0, "30 of 30 epochs are missing, the first is 1"),
        ([], 0, "30 of 30 epochs are missing, the first is 1"),
        ([b"\xef\xbb\xbf", *LINES], EPOCHS, ""),  # as some editors save it
        ([*LINES, b"31,1.0,50.0,0.001,1.0,9.0\n"], EPOCHS, "line 32 (epoch 31 of 30) is passed"),
        ([*LINES, LINES[3]], EPOCHS, "line 32 (epoch 3 after 30) is passed over"),
        (
            [*LINES[:4], b"\0\xff,,,\n", *LINES[4:]],
            EPOCHS,
            "line 5 (4 values, 6 columns) is passed",
        ),
        (
            [*LINES, b"3_1,1.0,50.0,0.001,1.0,9.0\n"],
            EPOCHS,
            "line 32 ('3_1' is no whole number) is",
        ),
        ([*LINES, b"9" * 5000 + b",1,1,1,1,1\n"], EPOCHS, "line 32 ('99999"),
        (
            [*LINES, b"9" * 20 + b",1,1,1,1,1\n"],
            EPOCHS,
            f"line 32 (epoch {'9' * 20} of 30) is passed",
        ),
        ([*LINES[:-1], b"30,1e308,50.0,1,1,1\n"], 29, "line 31 (a loss of 1e+308) is passed over"),
        ([*LINES[:-1], b"30,1e-320,50.0,1,1,1\n"], 29, "line 31 (a loss of 9.99989e-321) is"),
        ([*LINES[:-1], b"30,1.0,5000.0,1,1,1\n"], 29, "line 31 (an accuracy of 5000%) is passed"),
        ([*LINES[:-1], b"30,1.0,-3.0,1,1,1\n"], 29, "line 31 (an accuracy of -3%) is passed over"),
        ([*LINES[:4], b"4,nan,50.0,1,1,1\n", *LINES[5:]], 29, "line 5 (a loss of nan) is passed"),
        ([*LINES[:4], b"4,-5,50.0,1,1,1\n", *LINES[5:]], 29, "line 5 (a loss of -5) is passed"),
        (
            [*LINES[:4], b"4,-5,50,1,1,1\n", *LINES[5:], LINES[2]],
            29,
            "2 lines are passed over, the first is line 5 (a loss of -5); 1 of 30 epochs",
        ),
    ],
)
def test_what_is_missing_is_told(
    tmp_path: Path, content: list[bytes], count: int, fault: str
) -> None:
    (tmp_path / "metrics.csv").write_bytes(b"".join(content))
    found = read_history(tmp_path, record())
    assert found is not None
    assert len(found.epochs) == count
    assert found.faults.startswith(f"{tmp_path}/metrics.csv is not whole: {fault}" if fault else "")
    assert bool(found.faults) == bool(fault)


def test_a_file_that_is_gone_is_told_where_epochs_ended(tmp_path: Path) -> None:
    found = read_history(tmp_path, record())
    assert found is not None
    assert found.faults.startswith(f"{tmp_path}/metrics.csv is not there: 30 of 30 epochs are")
    untrained = record(science={**record().science, "train": {"epochs": 0}})
    assert [read_history(tmp_path, one) for one in (None, record("failed"), untrained)] == [
        None
    ] * 3


def test_a_run_that_is_not_over_may_lack_epochs(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_bytes(b"".join(LINES[:3]) + b"3,0.")
    found = read_history(tmp_path, record("running"))
    assert found is not None
    assert found.epochs == {1: (30.0, 50.0), 2: (15.0, 50.0)}
    assert found.faults == ""


def test_losses_of_kinds_of_ones_own_may_be_negative(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_bytes(b"epoch,loss,train_accuracy\n1,-0.5,\n")
    science = {"dataset": {"kind": "sentences"}, "train": {"epochs": 1}}
    found = read_history(tmp_path, record(science=science, metrics=flat(record())))
    assert found is not None
    assert found.epochs[1][0] == -0.5


def test_a_run_that_diverged_may_end_without_a_number(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_bytes(b"epoch,loss,train_accuracy\n1,1,9\n2,nan,9\n")
    found = read_history(tmp_path, record("diverged"))
    assert found is not None
    assert list(found.epochs) == [1, 2]
    assert not found.faults


def test_a_column_that_stands_twice_is_damage(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_bytes(b"epoch,loss,train_accuracy,loss\n1,0.5,50,9\n")
    with pytest.raises(UserError, match="is damaged: its curves are not shown"):
        read_history(tmp_path, record())


def test_it_ends_as_the_record_says(tmp_path: Path) -> None:
    epochs(tmp_path, *[1.0] * EPOCHS)  # whose losses are 1 / epoch
    metrics = {**flat(record()), "train_loss": 0.5}
    found = read_history(tmp_path, record(metrics=metrics))
    assert found is not None
    assert "it ends with a loss of 0.0333333, and the record has 0.5" in found.faults
    found = read_history(tmp_path, record(metrics=metrics | {"train_accuracy": 51.0}))
    assert found is not None
    assert "it ends with an accuracy of 50, and the record has 51" in found.faults
    (tmp_path / "metrics.csv").write_bytes(b"".join([*LINES[:4], b"4,5,,1,1,1\n", *LINES[5:]]))
    found = read_history(tmp_path, record(metrics=metrics | {"train_accuracy": 50.0}))
    assert found is not None
    assert "line 5 (no accuracy) is passed over" in found.faults


def test_no_file_and_a_pipe(tmp_path: Path) -> None:
    assert read_history(tmp_path) is None
    os.mkfifo(tmp_path / "metrics.csv")
    with pytest.raises(UserError, match=r"metrics\.csv is no ordinary file"):
        read_history(tmp_path)


def test_many_epochs_are_read_in_one_pass(tmp_path: Path) -> None:
    """Looking at all epochs for each line, 60,000 would take minutes; the suite's limit tells."""
    lines = (b"%d,1.0,50.0\n" % epoch for epoch in range(1, 60_001))
    (tmp_path / "metrics.csv").write_bytes(b"epoch,loss,train_accuracy\n" + b"".join(lines))
    found = read_history(tmp_path)
    assert found is not None
    assert len(found.epochs) == 60_000
