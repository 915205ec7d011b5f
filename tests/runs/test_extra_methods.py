"""Runs of methods that are one module and one yaml outside the package (tests/extra_methods)."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from flat_results import results

from hydra_peft.cli import evaluate
from hydra_peft.runs.outcome import Outcome
from hydra_peft.runs.writer import RunWriter


def test_a_method_that_acts_before_steps_resumes_and_is_scored_though_it_cannot_merge(
    do: Callable[..., Outcome],
    extra_methods: Path,
    small_task: Path,
    tmp_path: Path,
    shared_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(*overrides: str) -> Outcome:
        task = ["dataset=svhn", "data.allow_partial=true", f"paths.data={small_task}"]
        place = [f"hydra.searchpath=[file://{extra_methods}]", "method=dropping"]
        return do(*task, *place, "train.batch_size=21", *overrides)

    whole = run()
    steps = iter(range(1, 99))
    with monkeypatch.context() as patch:
        patch.setattr(RunWriter, "step", lambda _: next(steps) == 6 and signal.raise_signal(2))
        with pytest.raises(KeyboardInterrupt):
            run(f"paths.runs={tmp_path}/stopped")
    resumed = run(f"paths.runs={tmp_path}/stopped")
    assert results(resumed.record) == results(whole.record)
    files = [outcome.folder / "adapter.safetensors" for outcome in (whole, resumed)]
    assert files[0].read_bytes() == files[1].read_bytes()

    words = [f"run={whole.folder}", "device=cpu", f"cache={shared_cache}"]
    monkeypatch.setattr(sys, "argv", ["evaluate.py", *words])
    assert evaluate.main() == 0
    told = "  merged    blocks.0.mlp: its ReLU cannot be written into a linear layer's weights."
    assert told in capsys.readouterr().out.splitlines()
