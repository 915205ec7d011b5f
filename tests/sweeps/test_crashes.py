"""What the record of a run says whose process died."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from flat_results import fields

from hydra_peft.runs.claims import claim
from hydra_peft.runs.ledger import Ledger
from hydra_peft.runs.record import Record, read_record, write_record
from hydra_peft.runs.training import Training
from hydra_peft.sweeps.crashes import ended_by, record_crash
from hydra_peft.sweeps.job import Job
from hydra_peft.sweeps.one_job import do_job


@pytest.fixture
def running(make_job: Callable[..., Job], tmp_path: Path) -> tuple[Job, Path, Record]:
    """A job whose record says that it is being done, though nobody does it."""
    job = make_job()
    do_job(job)
    (path,) = tmp_path.glob("runs/**/result.json")
    record = dataclasses.replace(read_record(path.parent), status="running", **fields({}))
    write_record(record, path.parent)
    (path.parent / "checkpoints").mkdir(exist_ok=True)
    (path.parent / "checkpoints" / "step-00000001.safetensors").write_bytes(b"x")
    return job, path.parent, record


def test_a_running_record_becomes_failed_and_keeps_all_else(
    running: tuple[Job, Path, Record],
) -> None:
    job, folder, record = running
    before = {path.name for path in folder.rglob("*")}
    record_crash(job, "it died.")
    assert read_record(folder) == dataclasses.replace(record, status="failed", error="it died.")
    (shown,) = {path.name for path in folder.rglob("*")} - before
    assert shown.endswith(".failed")  # for TensorBoard's HParams tab


def test_other_records_are_left_alone(
    running: tuple[Job, Path, Record], make_job: Callable[..., Job]
) -> None:
    job, folder, record = running
    aside = folder.with_name(f"{folder.name}.superseded-1")
    aside.mkdir()
    write_record(record, aside)
    record_crash(make_job("seed=1"), "it died.")
    assert read_record(folder) == record
    record_crash(job, "it died.")
    assert read_record(aside) == record
    done = dataclasses.replace(record, status="interrupted")
    write_record(done, folder)
    record_crash(job, "it died.")
    assert read_record(folder) == done
    (folder / "result.json").write_text("{")
    record_crash(job, "it died.")
    assert (folder / "result.json").read_text() == "{"


def test_a_run_that_somebody_else_does_by_now_is_left_alone(
    running: tuple[Job, Path, Record], tmp_path: Path
) -> None:
    job, folder, record = running
    with claim(tmp_path / "runs", folder):
        record_crash(job, "it died.")
        assert read_record(folder) == record
    record_crash(job, "it died.")
    assert read_record(folder).status == "failed"


@pytest.mark.parametrize("search", ["grid", "optuna"])
def test_of_a_tuned_job_the_candidate_that_was_tried_has_failed(
    make_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, search: str
) -> None:
    if search == "optuna":
        pytest.importorskip("optuna")
    # With dropout, which a method has and the record spells out, and what a record leaves out.
    late = "protocol.grid.train.accumulate=[2,1]"
    tuned = ("method=lora", "protocol.tune=true", f"protocol.search={search}", late)
    job = make_job(
        *tuned, "protocol.grid.optimizer.lr=[1e-3,1e-2]", "protocol.grid.method.dropout=[0,0.1]"
    )
    original = Training.execute
    calls = []

    def die(self, *rest):  # type: ignore[no-untyped-def]
        calls.append(self.ledger.folder)
        if len(calls) == 2:
            monkeypatch.setattr(Ledger, "finish_badly", lambda *_, **__: None)
            raise SystemExit
        return original(self, *rest)

    monkeypatch.setattr(Training, "execute", die)
    with pytest.raises(SystemExit):
        do_job(job)
    assert [read_record(folder).status for folder in calls] == ["completed", "running"]
    other = make_job(*tuned, "protocol.grid.optimizer.lr=[1e-3,1e-2]", "optimizer.eps=1e-7")
    record_crash(other, "it died.")  # another search: this trial is not its own
    assert [read_record(folder).status for folder in calls] == ["completed", "running"]
    record_crash(job, "it died.")
    assert [read_record(folder).status for folder in calls] == ["completed", "failed"]


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (3, "the process ended with exit code 3"),
        (-9, "the process ended by signal 9 (killed; out of memory?)"),
        (-11, "the process ended by signal 11 (segmentation fault)"),
        (-15, "the process ended by signal 15 (SIGTERM)"),
        (-63, "the process ended by signal 63"),
    ],
)
def test_how_a_process_ended(code: int, sentence: str) -> None:
    assert ended_by(code) == sentence
