"""The page's section of mistakes: which runs it shows, and what it says of the others."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fabricated_models import put_model
from fabricated_runs import record
from flat_results import flat

from hydra_peft.cli.report import write_report
from hydra_peft.errors import UserError
from hydra_peft.report import mistakes
from hydra_peft.runs.collection import collect
from hydra_peft.tensor_files import write_tensors

Compose = Callable[..., Any]


class Black:
    """Images of nothing."""

    def pixels(self, _row: int) -> np.ndarray:
        return np.zeros((4, 4, 3), np.uint8)


def put(compose: Compose, folder: Path, task: str, right: int, *words: str) -> Path:
    """Write a completed run that was right about ``right`` of 40 examples, and kept them."""
    targets = torch.arange(40) % 8
    guessed = torch.where(torch.arange(40) < right, targets, (targets + 1) % 8)
    scored = {"accuracy": 100 * right / 40, "correct": right, "count": 40}
    metrics = {**flat(record()), **scored}
    said = (f"dataset=mini/{task}", "precision=fp32", *words)
    put_model(compose, folder, *said, metrics=metrics)
    classes = {"digits": 10, "texture": 8}[task]
    outputs = 5 * torch.eye(classes)[guessed] + 0.01 * torch.arange(40)[:, None]
    write_tensors(folder / "predictions.safetensors", {"outputs": outputs, "targets": targets}, {})
    return folder


@pytest.fixture(scope="module")
def runs(compose_train: Compose, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("mistakes") / "runs"
    put(compose_train, runs / "mini/digits/worse", "digits", 20)
    put(compose_train, runs / "mini/digits/better", "digits", 30, "seed=1", "method.dropout=0.5")
    put(compose_train, runs / "mini/texture/only", "texture", 35)
    return runs


def test_of_each_task_the_best_run_is_shown(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hydra_peft.runs.predictions.scored_images", lambda *_, **__: Black())
    monkeypatch.setattr("hydra_peft.cli.report._pictures", lambda _: ([], []))
    out = tmp_path / "report.html"
    write_report(runs, out)
    content = out.read_text()
    assert 'href="#mistakes"' in content
    section = content.partition('<section id="mistakes"')[2].partition("</section>")[0]
    assert section.count('<img src="data:image/svg') == 4
    text = " ".join(html.unescape(re.sub(r"<[^>]*>", " ", section)).split())
    assert "mini/digits: hydra r=2+2 (method.dropout=0.5), seed 1 the best of 2 runs" in text
    # The captions of both pictures call it so too.
    assert text.count("Measured: mini/digits; hydra r=2+2 (method.dropout=0.5); vit_mini") == 2
    assert text.count("Measured: mini/texture; hydra r=2+2; vit_mini") == 2
    assert "mini/texture: hydra r=2+2, seed 0 confusion matrix" in text
    assert "10 of 10 mistakes among 40 examples of test" in text
    # Accuracy by class, in the numbers below the matrix.
    assert "class name examples correct accuracy 0 0 5 4 80.0 1 1 5 4 80.0" in text
    assert "Left out" not in text


def test_what_is_left_out_or_cannot_be_drawn_is_said(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object, **__: object) -> None:
        raise UserError("the images are gone.")

    monkeypatch.setattr("hydra_peft.runs.predictions.scored_images", gone)
    monkeypatch.setattr(mistakes, "MOST", 1)
    collection = collect(runs)
    found = mistakes.mistakes_of(runs, collection)
    (shown,) = found.runs
    assert (shown.task, shown.seed, shown.others) == ("mini/digits", 1, 1)
    assert [picture.name for picture in shown.pictures] == ["confusion-digits"]
    assert shown.undrawn == ["mistakes: the images are gone."]
    assert found.left_out == ["mini/texture"]
    monkeypatch.setattr("hydra_peft.report.mistakes.has_classes", lambda *_: False)
    assert mistakes.embed_mistakes(mistakes.mistakes_of(runs, collection)) is None
