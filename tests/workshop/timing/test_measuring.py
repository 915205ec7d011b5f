"""What is kept of a suite that is interrupted, processes with a time limit, names of cards."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch

from hydra_peft.cli.arguments import parse_arguments
from hydra_peft.workshop.timing import _report, gpu, merge
from hydra_peft.workshop.timing._machine import card
from hydra_peft.workshop.timing._processes import run_limited
from hydra_peft.workshop.timing._report import Report, measure
from hydra_peft.workshop.timing.settings import GPU_PARTS, MergeSettings

CPU = torch.device("cpu")


def test_in_turns_does_each_once_a_round_after_one_that_does_not_count() -> None:
    done: list[str] = []
    works = {name: lambda name=name: done.append(name) for name in "ab"}
    seconds = Report("x", CPU).in_turns(works, 3, lambda name, _: {"work": name})
    assert done == ["a", "b"] * 4
    assert [len(found) for found in seconds.values()] == [3, 3]
    assert _report.ratio({"a": [2, 9], "b": [1, 3]}, "a", "b") == [2, 3]
    assert _report.compared("x", [1.0, 2.0, 4.0], "at most 1") == "x: 2 (1 to 4; goal at most 1)"
    assert [_report.readable(x) for x in (10400.0, 0.12345)] == ["10,400", "0.1235"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [(KeyboardInterrupt(), "interrupted"), (RuntimeError("CUDA\nerror"), "RuntimeError: CUDA")],
)
def test_what_was_measured_before_an_end_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, reason: str
) -> None:
    """In a file of its own: an earlier complete one stays."""
    path = tmp_path / "merge-cpu.json"
    path.write_text("earlier")

    def run(_: torch.device, __: object, report: Report) -> None:
        rounds: list[int] = []

        def work() -> None:
            rounds.append(1)
            if len(rounds) == 4:  # the first does not count
                raise error

        report.in_turns({"a": work}, 5, lambda name, seconds: {"rounds": len(seconds[name])})

    monkeypatch.setattr(merge, "run", run)
    said: list[str] = []
    with pytest.raises(type(error)):
        measure("merge", MergeSettings(), CPU, path, said.append)
    partial = tmp_path / "merge-cpu.incomplete.json"
    content = json.loads(partial.read_text())
    assert content["complete"] is False
    assert content["incomplete"].startswith(reason)
    assert content["rows"] == [{"rounds": 2}]
    assert said[1:] == ["round 1 of 5", "round 2 of 5", f"measured before: {partial}"]
    assert said[0] == "a first round, which does not count"
    assert path.read_text() == "earlier"


def test_a_part_that_fails_or_takes_too_long_does_not_stop_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each in a process of its own, with a shell in the place of the suites."""
    scripts = {
        "layer": "kill -KILL $$",
        "step": "echo round 1; sleep 60",
        "table4": "echo out of memory; exit 1",
        "task": """printf '{"notes": ["well"]}' > "${2#out=}\"""",
    }
    monkeypatch.setattr(gpu, "command_of", lambda name, _: ["sh", "-c", scripts[name], name])
    monkeypatch.setattr(gpu, "short_name", lambda _: "h100")
    monkeypatch.setattr("hydra_peft.workshop.timing._processes.GRACE_SECONDS", 1.0)
    said: list[str] = []
    # Of the device the name alone is looked at.
    report = Report("gpu", torch.device("cuda"), tmp_path / "gpu-h100.json", said.append)
    monkeypatch.setattr(report, "save", lambda: None)
    for name in scripts:
        gpu._do(name, 2.0, dry=False, report=report)
    assert [row["outcome"] for row in report.rows] == ["failed", "failed", "failed", "done"]
    killed, late, last = report.failed
    assert killed.startswith("layer: ended with -9")
    assert late.startswith("step: not through after 2 s, its share of the time")
    assert last == "table4: ended with 1: out of memory"
    assert report.notes == ["task: well"]
    assert "round 1" in said


def test_a_command_that_heeds_no_signal_is_killed_with_what_it_started(tmp_path: Path) -> None:
    script = "trap '' TERM; sleep 60 & echo $!; wait"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hydra_peft.workshop.timing._processes.GRACE_SECONDS", 0.3)
        ended = run_limited(["sh", "-c", script], tmp_path, 1.0, lambda _: None)
    assert (ended.stopped, ended.code) == (True, -9)
    state = Path(f"/proc/{int(ended.lines[0])}/stat")
    until = time.monotonic() + 30
    while state.exists() and state.read_text().split()[2] not in "ZX":
        assert time.monotonic() < until, "it runs on"
        time.sleep(0.01)


def test_the_command_line_of_a_part_is_read_back_as_its_settings() -> None:
    for name, part in gpu.PARTS.items():
        for settings in (part.real, part.dry):
            _, _, suite, *words = gpu.command_of(name, settings)
            assert suite == name
            assert parse_arguments(type(settings), words, "") == settings
    assert sum(part.share for part in gpu.PARTS.values()) == pytest.approx(1)
    assert tuple(gpu.PARTS) == GPU_PARTS


def test_short_names_of_cards() -> None:
    for name, short in (
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("Tesla V100-SXM2-16GB", "v100"),
        ("NVIDIA GeForce RTX 3090", "rtx-3090"),
        ("AMD Instinct MI300X", "mi300x"),
    ):
        assert card(name) == short
