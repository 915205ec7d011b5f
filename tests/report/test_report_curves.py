"""Curves of a run: what is drawn is what was written, in few points, and damage is named."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from study import metrics

from hydra_peft.errors import UserError
from hydra_peft.report.curves import MOST_POINTS, read_curves
from hydra_peft.runs.history import MAX_BYTES


def written(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("epochs", [1, 2, 99, 100, 101, 250, 1000])
def test_points(tmp_path: Path, epochs: int) -> None:
    metrics(tmp_path, epochs)
    curves = read_curves(tmp_path, None, [])
    assert curves is not None
    assert len(curves.epochs) == min(epochs, MOST_POINTS)
    assert (curves.epochs[0], curves.epochs[-1], curves.count) == (1, epochs, epochs)
    gaps = {after - before for before, after in zip(curves.epochs, curves.epochs[1:], strict=False)}
    assert max(gaps, default=1) - min(gaps, default=1) <= 1, "evenly"
    rows = written(tmp_path)
    for epoch, loss, accuracy in zip(curves.epochs, curves.losses, curves.accuracies, strict=True):
        assert loss == pytest.approx(float(rows[epoch - 1]["loss"]), rel=5e-4)
        assert accuracy == pytest.approx(float(rows[epoch - 1]["train_accuracy"]), rel=5e-4)


def test_half_a_last_line_is_passed_over(tmp_path: Path) -> None:
    metrics(tmp_path, 3)
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("4,0.")
    curves = read_curves(tmp_path, None, [])
    assert curves is not None
    assert curves.epochs == [1, 2, 3]


def test_a_loss_that_is_no_number_is_a_gap(tmp_path: Path) -> None:
    text = "epoch,loss,train_accuracy,lr\n1,0.5,50,1\n2,nan,40,1\n3,inf,30,1\n"
    (tmp_path / "metrics.csv").write_text(text)
    curves = read_curves(tmp_path, None, [])
    assert curves is not None
    assert curves.losses == [0.5, None, None]


@pytest.mark.parametrize("text", ["", "epoch,loss,train_accuracy\n"])
def test_nothing_yet(tmp_path: Path, text: str) -> None:
    assert read_curves(tmp_path, None, []) is None
    (tmp_path / "metrics.csv").write_text(text)
    assert read_curves(tmp_path, None, []) is None


@pytest.mark.parametrize(
    "content",
    [
        b"epoch,loss\n1,2\n",
        b"epoch,loss,train_accuracy\n1,x,2\n",
        b"epoch,loss,train_accuracy\n1\n",
        b"\xff\xfe\x00\n\x80\n",
        b'epoch,loss,train_accuracy\n"' + b"x" * 200_000 + b"\n",
        b"epoch,loss,train_accuracy\n" + b"9" * 5000 + b",1,1\n",
        b"0" * (MAX_BYTES + 1),
    ],
)
def test_damage_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "metrics.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"metrics\.csv"):
        read_curves(tmp_path, None, [])
