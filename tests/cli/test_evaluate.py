"""scripts/evaluate.py compares what is recorded with what is measured, and says both."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from fabricated_runs import put

from hydra_peft.cli import evaluate
from hydra_peft.runs import rebuild
from hydra_peft.runs.record import read_record
from hydra_peft.training.evaluation import Score


@pytest.mark.parametrize(
    ("edited", "doubt", "code", "told"),
    [
        ({}, "", 0, ""),
        ({"accuracy": 99.9}, "", 1, "99.9000% recorded, 98.2500% measured"),
        ({"correct": 392, "accuracy": 98.0}, "", 1, "98.0000% recorded, 98.2500% measured"),
        ({"correct": 786, "count": 800}, "", 1, "not reproduced"),
        ({}, "optimizer.lr is 3 there", 1, "optimizer.lr is 3 there"),
    ],
)
def test_what_is_recorded_is_what_is_measured(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    edited: dict[str, float],
    doubt: str,
    code: int,
    told: str,
) -> None:
    folder = put(tmp_path)
    path = folder / "result.json"
    content = json.loads(path.read_text())
    content["metrics"] |= edited
    path.write_text(json.dumps(content))
    score, doubts = Score(393, 400), [doubt] if doubt else []

    def reevaluate(run: Path, **_: object) -> rebuild.Comparison:
        return rebuild.Comparison(read_record(run, doubts), score, score, tuple(doubts))

    monkeypatch.setattr(rebuild, "reevaluate", reevaluate)
    monkeypatch.setattr(sys, "argv", ["evaluate.py", f"run={folder}"])
    assert evaluate.main() == code
    printed = capsys.readouterr()
    assert "unmerged  98.2500%  393 correct" in printed.out
    assert told in printed.err
    assert bool(printed.err) == bool(code)
