"""What a record says is shown in its line and commands no terminal."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from fabricated_runs import record

from hydra_peft.runs._claim_files import Holder
from hydra_peft.runs._machine import Process
from hydra_peft.runs.record import Record
from hydra_peft.sweeps.grid import done_line, grid_text
from hydra_peft.sweeps.job import Job
from hydra_peft.sweeps.lines import describe
from hydra_peft.sweeps.plan import PlannedJob

EVIL = "\x1b[2J\x1b]0;owned\x07 \x9b31m \u202eabc\r\nnext \ud800"


@pytest.fixture
def evil() -> Record:
    names = ("config_id", "benchmark", "task", "method_label", "started", "error")
    made = dataclasses.replace(record(), **dict.fromkeys(names, EVIL))
    return dataclasses.replace(made, metrics={**made.metrics, "split": EVIL, "selection": EVIL})


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
    text = grid_text([PlannedJob(Job((f"a={EVIL}",), "{}"), None, None, "failed", EVIL)] * 1)
    for line in text.splitlines()[1:2]:
        harmless(line)
    assert all(line.isprintable() for line in text.split("\n"))
    broken = grid_text([PlannedJob(Job(("a=1",), "{}"), None, None, "broken", EVIL)])
    assert all(line.isprintable() for line in broken.split("\n"))


def test_holders_of_claims() -> None:
    process = Process(host=EVIL, boot_id=None, namespace=None, pid=1, started=None)
    harmless(str(Holder(1, "", token="a", process=process, beat=1, since=EVIL)))
