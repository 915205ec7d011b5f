"""scripts/evaluate.py compares what is recorded with what is measured, and says both."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fabricated_runs
import pytest
from fabricated_runs import EPOCHS, epochs, put, record
from flat_results import changed
from omegaconf import OmegaConf

from hydra_peft.cli import evaluate
from hydra_peft.runs import rebuild
from hydra_peft.runs.folder import ADAPTER
from hydra_peft.runs.record import read_record, write_record
from hydra_peft.training.evaluation import Score


@pytest.mark.parametrize(
    ("edited", "doubt", "stored", "code", "told"),
    [
        ({}, "", 393, 0, ""),
        ({}, "", None, 0, ""),
        ({"accuracy": 99.9}, "", 393, 1, "99.9000% recorded, 98.2500% measured"),
        ({"correct": 392, "accuracy": 98.0}, "", 392, 1, "98.0000% recorded, 98.2500% measured"),
        ({"correct": 786, "count": 800}, "", 393, 1, "not reproduced"),
        ({}, "optimizer.lr is 3 there", 393, 1, "optimizer.lr is 3 there"),
        ({}, "", 394, 1, "predictions.safetensors: 98.2500% recorded, 98.5000% stored"),
    ],
)
def test_what_is_recorded_is_what_is_measured(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    edited: dict[str, float],
    doubt: str,
    stored: int | None,
    code: int,
    told: str,
) -> None:
    folder = put(tmp_path)
    write_record(changed(read_record(folder), **edited), folder)
    score, doubts = Score({"accuracy": 98.25}, 400), [doubt] if doubt else []
    kept = None if stored is None else Score({"accuracy": stored / 4}, 400)

    def reevaluate(run: Path, **_: object) -> rebuild.Comparison:
        recorded = read_record(run, doubts)
        scores = {"test": rebuild.Rescored(score, score, kept)}
        return rebuild.Comparison(recorded, scores, tuple(doubts))

    monkeypatch.setattr(rebuild, "reevaluate", reevaluate)
    monkeypatch.setattr(evaluate, "_look_first", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["evaluate.py", f"run={folder}"])
    assert evaluate.main() == code
    printed = capsys.readouterr()
    assert "unmerged  98.2500%  393 correct" in printed.out
    assert f"%  {edited.get('correct', 393)} correct\n  " in printed.out.partition("recorded")[2]
    assert ("  stored  " in printed.out) == (stored is not None)
    assert told in printed.err
    assert bool(printed.err) == bool(code)


def test_the_metric_that_differs_is_named() -> None:
    measured = {"accuracy": 98.25, "mean_per_class": 98.0}
    edited = dataclasses.replace(record(), scores={"test": {**measured, "mean_per_class": 99.0}})
    (sentence,) = evaluate._stored_doubt(edited, "test", Score(measured, 400))
    assert "99.0000% mean_per_class recorded, 98.0000% mean_per_class stored" in sentence


@pytest.mark.parametrize(
    ("change", "code", "told"),
    [
        ({}, 0, ""),
        (
            {"training": {"loss": 0.5}},
            1,
            "it ends with a loss of 0.0333333, and the record has 0.5",
        ),
        ({"training": {"accuracy": 99.0}}, 1, "an accuracy of 50, and the record has 99"),
        ({"seal": None}, 0, "note: result.json has no 'seal'"),
    ],
)
def test_what_the_record_says_of_training_is_compared_with_its_epochs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, Any],
    code: int,
    told: str,
) -> None:
    folder = put(tmp_path)
    epochs(folder, *[1.0] * EPOCHS)
    if "seal" in change:
        fabricated_runs.edited(folder)
    else:
        write_record(dataclasses.replace(read_record(folder), **change), folder)
    score = Score({"accuracy": 98.25}, 400)
    scores = {"test": rebuild.Rescored(score, score, None)}
    compared = rebuild.Comparison(read_record(folder), scores, ())
    monkeypatch.setattr(rebuild, "reevaluate", lambda *_, **__: compared)
    monkeypatch.setattr(evaluate, "_look_first", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["evaluate.py", f"run={folder}"])
    assert evaluate.main() == code
    assert told in capsys.readouterr().err.replace(f"{folder}/", "")


@pytest.mark.parametrize(
    ("said", "stored", "doubt", "told"),
    [
        ("kept", 393, "", "stored    98.2500%"),
        ("kept", None, "", "none: the run kept predictions.safetensors, which is gone or damaged"),
        ("not wanted", None, "", "none: the run had save.predictions=false"),
        ("not wanted", 393, "there is a predictions.safetensors, and the record says", "98.2500%"),
    ],
)
def test_outputs_are_there_where_the_record_says_so(
    capsys: pytest.CaptureFixture[str], said: str, stored: int | None, doubt: str, told: str
) -> None:
    kept = None if stored is None else Score({"accuracy": stored / 4}, 400)
    found = evaluate._stored_doubt(record(predictions={"test": said}), "test", kept)
    assert bool(found) == bool(doubt)
    assert doubt in "".join(found)
    assert told in capsys.readouterr().out


@pytest.mark.parametrize(
    ("metric", "recorded", "merged", "agree"),
    [
        ("accuracy", 98.25, 98.5, True),  # one of 400 examples
        ("accuracy", 98.25, 98.75, False),
        ("pearson", -12.0, -12.2, True),
        # An error has no percent: what one example in 400 weighs is a share of the value.
        ("mse", 0.05, 0.0501, True),
        ("mse", 0.05, 0.0502, False),
        ("mse", 4e6, 4.009e6, True),
        ("mse", 0.0, 1e-12, True),
    ],
)
def test_merging_may_turn_one_example_over(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    metric: str,
    recorded: float,
    merged: float,
    agree: bool,
) -> None:
    run = dataclasses.replace(
        read_record(put(tmp_path)),
        scores={"test": {metric: recorded}},
        primary=metric,
        counts={"scored": 400},
    )
    scores = [Score({metric: value}, 400) for value in (recorded, merged)]
    compared = rebuild.Comparison(run, {"test": rebuild.Rescored(*scores, None)}, ())
    monkeypatch.setattr(rebuild, "reevaluate", lambda *_, **__: compared)
    monkeypatch.setattr(evaluate, "_look_first", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["evaluate.py", f"run={tmp_path}"])
    assert evaluate.main() == (0 if agree else 1)
    assert ("not reproduced" in capsys.readouterr().err) == (not agree)


def test_scores_without_some_adapters_are_printed_beside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = put(tmp_path)
    score, asked = Score({"accuracy": 98.25}, 400), []

    def reevaluate(run: Path, *, drop: tuple[int, ...], **_: object) -> rebuild.Comparison:
        asked.append(drop)
        dropped = {count: Score({"accuracy": 90.0 + count}, 400) for count in drop}
        scores = {"test": rebuild.Rescored(score, score, None, dropped)}
        return rebuild.Comparison(read_record(run), scores, ())

    monkeypatch.setattr(rebuild, "reevaluate", reevaluate)
    monkeypatch.setattr(evaluate, "_look_first", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["evaluate.py", f"run={folder}", "drop=0,5"])
    assert evaluate.main() == 0
    assert asked == [(0, 5)]
    assert "  drop=5    95.0000%  380 correct\n" in capsys.readouterr().out


def test_what_is_damaged_or_missing_is_told_before_torch_is_loaded(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    compose_train: Callable[..., Any],
) -> None:
    def refused(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", ["evaluate.py", f"run={folder}", *words])
        assert evaluate.main() == 2
        return capsys.readouterr().err

    folder = put(tmp_path)
    # Whoever imports it would load torch in a process of its own.
    monkeypatch.setitem(sys.modules, "hydra_peft.runs.rebuild", None)
    assert "device=tpu is not allowed: it must be auto, cpu or cuda." in refused("device=tpu")
    assert "config.yaml: there is no such file" in refused()
    config = folder / "config.yaml"
    config.write_text("model: [")
    assert f"{config} is not valid yaml: truncated or edited?" in refused()
    config.write_text("model: 3")
    assert f"{config}: the config has no '" in refused()
    config.write_text(OmegaConf.to_yaml(compose_train(), resolve=True))
    assert f"{folder} has no adapter.json" in refused()
    for name in ADAPTER:
        (folder / name).touch()
    assert f"{folder / ADAPTER[0]} is not valid json" in refused()
    (folder / ADAPTER[0]).write_text("{}")
    assert "method, hydra r=2+2, leaves no adapters out" in refused("drop=1,2")
    assert "drop=1,x is not allowed: it must be whole numbers" in refused("drop=1,x")
    words = ("dataset=svhn", f"paths.data={tmp_path}")
    config.write_text(OmegaConf.to_yaml(compose_train(*words), resolve=True))
    assert "there is no folder 'svhn'" in refused()
    write_record(read_record(folder, []), folder)  # seals the config too
    config.write_text(config.read_text() + "# edited\n")
    said = refused()
    first = (
        f"{config} is not the config of the run's record, dataset.name is 'svhn', there 'digits'"
    )
    assert f"{first}: edited? With it: dataset svhn" in said
    words = ("model.checkpoint=/nowhere/x.npz",)
    config.write_text(OmegaConf.to_yaml(compose_train(*words), resolve=True))
    assert "/nowhere/x.npz is not there or is not a file" in refused()
