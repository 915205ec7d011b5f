"""Splits that are scored beside the one that counts (dataset.splits.further)."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from flat_results import results
from prepared_root import write_task

from hydra_peft.cli import evaluate, tables
from hydra_peft.errors import UserError
from hydra_peft.runs import training as training_module
from hydra_peft.runs.outcome import Outcome
from hydra_peft.runs.record import read_record
from hydra_peft.runs.scoring import Scoring
from hydra_peft.tensor_files import read_tensors

Do = Callable[..., Outcome]
#: of each epoch's score on the test split the first one's is the best
BEST = ["protocol.name=official", "protocol.selection=best", "protocol.evaluate_every=1"]


@pytest.fixture(scope="session")
def with_further(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared root with one small task that has two further splits."""
    root = tmp_path_factory.mktemp("data")
    write_task(root / "svhn", classes=10, train800=30, val200=10, test=20, odd=30, even=25)
    return root


@pytest.fixture
def do(do: Do, with_further: Path) -> Do:
    words = ["dataset=svhn", "data.allow_partial=true", f"paths.data={with_further}"]
    words += ["+dataset.splits.further=[odd,even]", "+dataset.sizes={odd:30,even:25}"]
    return lambda *overrides: do(*words, *overrides)


def call(monkeypatch: pytest.MonkeyPatch, script: Callable[[], int], *words: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["script.py", *map(str, words)])
    return script()


@pytest.mark.parametrize("words", [["method=linear"], ["method=lora", *BEST]])
def test_all_are_scored_once_with_the_selected_weights_and_scored_again(
    do: Do,
    shared_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
) -> None:
    monkeypatch.setattr(Scoring, "_is_better", lambda *_: False)  # the first epoch stays
    outcome = do(*words)
    record = outcome.record
    assert list(record.scores) == ["test", "odd", "even"]
    assert (record.split, record.selection["epoch"]) == ("test", 1 if BEST[0] in words else 2)
    for split, count in {"test": 20, "odd": 30, "even": 25}.items():
        name = "predictions.safetensors" if split == "test" else f"predictions-{split}.safetensors"
        kept = read_tensors(outcome.folder / name)
        right = int((kept["outputs"].argmax(1) == kept["targets"]).sum())
        assert len(kept["targets"]) == record.data["counts"][split] == count
        assert record.scores[split] == {"accuracy": pytest.approx(100 * right / count)}

    arguments = [f"run={outcome.folder}", f"cache={shared_cache}", "device=cpu"]
    assert call(monkeypatch, evaluate.main, *arguments) == 0
    printed = capsys.readouterr().out
    assert "seed 0, odd of 30 examples" in printed
    assert "seed 0, even of 25 examples" in printed
    path = outcome.folder / "result.json"
    changed = json.loads(path.read_text())
    changed["scores"]["even"]["accuracy"] = 100.0 if record.scores["even"]["accuracy"] < 50 else 0.0
    path.write_text(json.dumps(changed))
    assert call(monkeypatch, evaluate.main, *arguments) == 1
    assert "the recorded score on even is not reproduced" in capsys.readouterr().err
    changed["scores"]["even"]["accuracy"] = 33.3
    path.write_text(json.dumps(changed))
    with pytest.raises(UserError, match="is not as its run wrote it"):
        read_record(outcome.folder)


def test_a_run_that_is_stopped_while_they_are_scored_goes_on(
    do: Do, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["method=lora", "train.checkpoint_every=1"]
    whole = do(*words, f"paths.runs={tmp_path}/whole").record
    score = training_module.evaluate

    def stopped(model, task, split, **rest):  # type: ignore[no-untyped-def]
        if len(split) == 25:
            raise KeyboardInterrupt
        return score(model, task, split, **rest)

    with monkeypatch.context() as patch:
        patch.setattr(training_module, "evaluate", stopped)
        with pytest.raises(KeyboardInterrupt):
            do(*words)
    again = do(*words)
    assert again.record.resumed[0]["at_step"] == 2 * 3
    assert results(again.record) == results(whole)
    assert again.record.scores == whole.scores


def test_tables_show_the_scores_on_one_of_them(
    do: Do, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    record = do("method=linear", *BEST).record
    arguments = [f"runs={tmp_path}/runs", f"out={tmp_path}/tables"]
    assert call(monkeypatch, tables.main, *arguments, "split=odd") == 0
    printed = capsys.readouterr().out
    assert "accuracy on odd (%)" in printed
    assert "(selected on the test set)" in printed
    assert "best of 2 evaluations on test" in printed
    assert f"{record.scores['odd']['accuracy']:.1f}" in printed
    assert call(monkeypatch, tables.main, *arguments, "split=even2") == 2
    assert "scored on it (did you mean 'even'?); there are even" in capsys.readouterr().err


def test_trials_of_a_search_do_not_read_them(do: Do) -> None:
    outcome = do("method=linear", "protocol=validation")
    assert list(outcome.record.scores) == ["val200"]
    assert set(outcome.record.data["splits"]) == {"train800", "val200"}
    assert torch.is_tensor(read_tensors(outcome.folder / "predictions.safetensors")["outputs"])
