"""What squeue says, and what it means for a job; the command itself is made up."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from hydra_peft.sweeps import slurm_queue
from hydra_peft.sweeps.slurm_queue import GONE, SlurmQueue


@pytest.fixture
def answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file whose content ``squeue`` prints; every call is a line of ``calls`` beside it."""
    command = tmp_path / "squeue"
    command.write_text(
        f'#!/bin/sh\necho "$*" >> {tmp_path}/calls\nread line < {tmp_path}/answer || exit 1\n'
        f'while read -r line; do echo "$line"; done < {tmp_path}/answer\n'
    )
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(slurm_queue, "QUEUE_SECONDS", 0.0)
    return tmp_path / "answer"


@pytest.fixture
def said(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("hydra_peft"), "propagate", True)
    return caplog


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("PENDING", None),
        ("RUNNING", None),
        ("COMPLETING", None),
        ("REQUEUED", None),
        ("REQUEUE_HOLD", None),
        ("SUSPENDED", None),
        ("COMPLETED", "COMPLETED"),
        ("OUT_OF_MEMORY", "OUT_OF_MEMORY"),
        ("NODE_FAIL", "NODE_FAIL"),
    ],
)
def test_states(answer: Path, state: str, expected: str | None) -> None:
    answer.write_text(f"7_1|{state}|None\n12|RUNNING|None\n")
    queue = SlurmQueue()
    assert queue.over("7_1") == expected
    assert queue.over("7_2") == GONE
    assert "--user=" in (answer.parent / "calls").read_text()


def test_one_answer_is_for_all_jobs_until_it_is_old(
    answer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slurm_queue, "QUEUE_SECONDS", 1000.0)
    answer.write_text("7_1|RUNNING|None\n")
    queue = SlurmQueue()
    assert [queue.over("7_1"), queue.over("7_2")] == [None, GONE]
    answer.write_text("7_2|RUNNING|None\n")
    assert [queue.over("7_1"), queue.over("7_2")] == [None, GONE]
    queue.ask_anew()
    assert [queue.over("7_1"), queue.over("7_2")] == [GONE, None]
    assert len((answer.parent / "calls").read_text().splitlines()) == 2


def test_where_nobody_answers_no_job_is_over_and_it_is_said_once(
    answer: Path, said: pytest.LogCaptureFixture
) -> None:
    answer.write_text("7_1|FAILED|NonZeroExitCode\n")
    queue = SlurmQueue()
    assert queue.over("7_1") == "FAILED"
    answer.unlink()
    assert [queue.over("7_1"), queue.over("7_2")] == [None, None]
    (answer.parent / "squeue").unlink()
    assert queue.over("7_1") is None
    assert len(said.messages) == 1
    assert said.messages[0].startswith("squeue does not answer (")


def test_a_job_that_is_held_is_told_of_once(answer: Path, said: pytest.LogCaptureFixture) -> None:
    answer.write_text("7_1|PENDING|launch failed requeued held\n7_2|PENDING|Resources\n")
    queue = SlurmQueue()
    assert [queue.over(name) for name in ("7_1", "7_2", "7_1")] == [None] * 3
    assert len(said.messages) == 1
    assert "scontrol release 7_1" in said.messages[0]
