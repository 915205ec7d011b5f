"""What a record says is shown in its line and commands no terminal."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from fabricated_runs import record
from flat_results import changed

from hydra_peft.runs._claim_files import Holder
from hydra_peft.runs._machine import Process
from hydra_peft.runs.record import Record
from hydra_peft.sweeps.job import Job
from hydra_peft.sweeps.lines import describe
from hydra_peft.sweeps.plan import PlannedJob
from hydra_peft.sweeps.plan_text import done_line, first_line, plan_text

EVIL = "\x1b[2J\x1b]0;owned\x07 \x9b31m \u202eabc\r\nnext \ud800"


@pytest.fixture
def evil() -> Record:
    names = ("config_id", "benchmark", "task", "method_label", "started", "error")
    made = dataclasses.replace(record(), **dict.fromkeys(names, EVIL))
    return changed(made, split=EVIL, selection=f"best of 2 evaluations on {EVIL}")


def harmless(line: str) -> None:
    assert line.isprintable()
    assert "next" in line
    line.encode()


def test_done_lines(evil: Record) -> None:
    harmless(done_line(evil))


@pytest.mark.parametrize("status", ["completed", "failed"])
def test_descriptions(evil: Record, status: str) -> None:
    line = describe(dataclasses.replace(evil, status=status), Path("runs/x"), f"done {EVIL}")
    first, *rest = line.split("\n")
    harmless(first)
    assert rest == (["    runs/x"] if status == "completed" else [])


def test_grids() -> None:
    text = plan_text([PlannedJob(Job((f"a={EVIL}",), "{}"), None, None, "failed", EVIL)] * 1)
    for line in text.splitlines()[1:2]:
        harmless(line)
    assert all(line.isprintable() for line in text.split("\n"))
    broken = plan_text([PlannedJob(Job(("a=1",), "{}"), None, None, "broken", EVIL)])
    assert all(line.isprintable() for line in broken.split("\n"))


def test_holders_of_claims() -> None:
    process = Process(host=EVIL, boot_id=None, namespace=None, pid=1, started=None)
    harmless(str(Holder(1, "", token="a", process=process, beat=1, since=EVIL)))


def test_the_first_line_of_a_sweep() -> None:
    states = ["done", "failed", *["new"] * 5, "to_resume", "new"]
    planned = [PlannedJob(Job((), "{}"), None, None, state) for state in states]
    planned.append(PlannedJob(Job((), "{}"), None, None, "new", same_as=9))
    times = [None, None, *[90.0] * 6, None, None]
    counts = "10 jobs, 1 done, 1 failed before, 7 to run"
    assert first_line(planned, times, 1) == f"{counts}, about 9 min and 1 of unknown time"
    assert first_line(planned[:-2], times[:-2], 2) == (
        "8 jobs, 1 done, 1 failed before, 6 to run, about 4 min"  # three turns of 90 s
    )
    assert first_line(planned, times, None) == counts
    assert first_line(planned[-2:-1], times[-2:-1], 1) == "1 job, 0 done, 1 to run, time unknown"
