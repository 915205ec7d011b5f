"""The verdict finds each way in which a disturbed sweep can go wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from fabricated_runs import EPOCHS, epochs, put, record
from flat_results import flat

from hydra_peft.adaptation.storage import TENSORS
from hydra_peft.runs.folder import find_runs
from hydra_peft.runs.record import FILE, write_record
from hydra_peft.tensor_files import write_tensors
from hydra_peft.workshop.chaos import verdict
from hydra_peft.workshop.chaos.sweep import disturb
from hydra_peft.workshop.chaos.verdict import Witness, differences


def complete(runs: Path, seed: int = 0, weight: float = 1.0) -> Path:
    folder = put(runs, seed=seed)
    epochs(folder, *[1.0] * EPOCHS)
    write_tensors(folder / TENSORS, {"head.weight": torch.full((2, 2), weight)}, {})
    return folder


@pytest.fixture
def both(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("quiet", "fire"):
        for seed in (0, 1):
            complete(tmp_path / name, seed)
    return tmp_path / "quiet", tmp_path / "fire"


def test_equal_sweeps_have_no_differences(both: tuple[Path, Path]) -> None:
    assert differences(*both) == []


def other_score(folder: Path) -> None:
    metrics = {**flat(record()), "accuracy": 98.0, "correct": 392}
    write_record(record(metrics=metrics), folder)


def half_a_file(folder: Path) -> None:
    path = folder / TENSORS
    path.write_bytes(path.read_bytes()[:40])


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda folder: (folder / FILE).unlink(), "is missing"),
        (lambda folder: write_record(record("interrupted"), folder), "is interrupted"),
        (other_score, "scores differ"),
        (lambda folder: complete(folder.parents[2], 0, 2.0), "the trained tensors differ"),
        (half_a_file, "truncated or not a safetensors file"),
        (lambda folder: epochs(folder, *[1.0] * (EPOCHS - 1)), "metrics.csv has epochs"),
        (lambda folder: (folder / ".result.json.abc").write_text("{"), ".result.json.abc was left"),
        (lambda folder: (folder / "checkpoints").mkdir(), "checkpoints was left"),
        (lambda folder: complete(folder.parents[2], 7), "is not part of the sweep"),
    ],
)
def test_each_fault_is_told(
    both: tuple[Path, Path], harm: Callable[[Path], object], told: str
) -> None:
    harm(next(both[1].glob("mini/digits/*seed0*")))
    faults = differences(*both)
    assert any(told in fault for fault in faults), faults


def more_right(folder: Path, more: int) -> None:
    metrics = {**flat(record()), "correct": flat(record())["correct"] + more}
    metrics["accuracy"] = 100 * metrics["correct"] / metrics["count"]
    write_record(record(metrics=metrics), folder)


def test_runs_in_a_pack_may_differ_by_rounding_and_by_one_example(both: tuple[Path, Path]) -> None:
    folder = next(both[1].glob("mini/digits/*seed0*"))
    more_right(folder, 1)
    write_tensors(folder / TENSORS, {"head.weight": torch.full((2, 2), 1.0 + 1e-6)}, {})
    assert differences(*both, rounded=True) == []
    assert any("counts differ" in fault for fault in differences(*both))
    more_right(folder, 2)
    assert any("examples are right" in fault for fault in differences(*both, rounded=True))
    complete(folder.parents[2], 0, 2.0)
    assert any("differ by up to 1" in fault for fault in differences(*both, rounded=True))


def test_a_witness_sees_a_completed_run_written_again(tmp_path: Path) -> None:
    folder = complete(tmp_path)
    witness = Witness(tmp_path)
    assert witness.look() == 1
    assert witness.look() == 1
    assert witness.faults == []
    write_record(dataclasses.replace(record(), started="2026-01-02T00:00:00+00:00"), folder)
    witness.look()
    assert "was written again" in witness.faults[0]


def test_a_fault_is_told_once(both: tuple[Path, Path]) -> None:
    for folder in both[1].glob("mini/digits/*"):
        (folder / "checkpoints").mkdir()
    assert differences(*both) == ["checkpoints was left behind"] * 2
    witness = Witness(both[1])
    witness.look()
    write_record(record("interrupted"), next(both[1].glob("mini/digits/*seed0*")))
    for _ in range(3):
        assert witness.look() == 2
    assert len(witness.faults) == 1


def test_a_record_that_goes_away_under_a_look_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = complete(tmp_path)
    found = find_runs(tmp_path)
    (folder / FILE).unlink()
    monkeypatch.setattr(verdict, "find_runs", lambda _: found)
    witness = Witness(tmp_path)
    assert (witness.look(), witness.faults) == (0, [])


def test_a_run_written_again_within_one_start_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = complete(tmp_path / "runs")
    again = dataclasses.replace(record(), started="2026-01-02T00:00:00+00:00")
    write_record(again, tmp_path / "again")
    first, second = folder / FILE, tmp_path / "again" / FILE
    first.rename(tmp_path / "first")
    look = Witness.look

    def looked(witness: Witness) -> int:
        completed = look(witness)
        if completed:
            (tmp_path / "seen").touch()
        return completed

    monkeypatch.setattr(Witness, "look", looked)
    wait = f"for i in $(seq 200); do [ -e {tmp_path}/seen ] && break; sleep 0.05; done"
    command = ["sh", "-c", f"mv {tmp_path}/first {first}; {wait}; mv {second} {first}"]
    runs, log = tmp_path / "runs", tmp_path / "log"
    story = disturb(command, runs, log, kills=0, pause=1.0, seed=0)
    assert story.starts == 1
    (fault,) = story.faults
    assert "was written again" in fault


def test_a_witness_sees_a_torn_record(tmp_path: Path) -> None:
    folder = complete(tmp_path)
    path = folder / FILE
    path.write_bytes(path.read_bytes()[:100])
    witness = Witness(tmp_path)
    assert witness.look() == 0
    assert "torn record" in witness.faults[0]
