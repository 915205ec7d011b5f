"""Runs of tasks that are one module and one yaml outside the package (tests/extra_tasks)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from flat_results import results

from hydra_peft.cli import evaluate
from hydra_peft.config.schema import RunConfig
from hydra_peft.errors import UserError
from hydra_peft.runs import rebuild
from hydra_peft.runs.collection import collect
from hydra_peft.runs.outcome import Outcome
from hydra_peft.runs.run import run
from hydra_peft.tables.grouping import build_tables
from hydra_peft.tensor_files import read_tensors
from hydra_peft.training.evaluation import predict


@pytest.fixture
def model() -> list[str]:
    """Tasks here choose backbones of their own."""
    return []


def plain_map(outputs: np.ndarray, targets: np.ndarray) -> float:
    """11-point mean average precision as in ELEVATER: of a softmax, 1 at recall 0."""
    found, shares = [], np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
    for scores, truth in zip(shares.T, targets.T, strict=True):
        hits = truth[np.argsort(-scores, kind="stable")]
        recall, precision = hits.cumsum() / hits.sum(), hits.cumsum() / np.arange(1, 1 + len(hits))
        points = [1.0, *(max(precision[recall >= t]) for t in np.linspace(1, 0, 11)[:-1])]
        found.append(np.mean(points))
    return 100 * float(np.mean(found))


def plain_pearson(outputs: np.ndarray, targets: np.ndarray) -> float:
    """Pearson's correlation by its definition, in percent."""
    a, b = outputs[:, 0] - outputs[:, 0].mean(), targets - targets.mean()
    return 100 * float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


@pytest.mark.parametrize(
    ("task", "metric", "plain", "others"),
    [
        ("quadrants", "map_11point", plain_map, []),
        ("brightness", "pearson", plain_pearson, ["spearman"]),
        ("sentences", "pearson", plain_pearson, ["spearman"]),
    ],
)
def test_a_task_is_trained_scored_tabulated_and_scored_again(
    do: Callable[..., Outcome],
    extra_tasks: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    task: str,
    metric: str,
    plain: Callable[[np.ndarray, np.ndarray], float],
    others: list[str],
) -> None:
    words = [f"hydra.searchpath=[file://{extra_tasks}]", f"dataset={task}", "optimizer.lr=0.01"]
    if task == "sentences":
        words += ["model=tiny_text", "method.targets=[mlp.fc2]", "optimizer.lr=0.1"]
    outcome = do(*words, "method=lora", "train.epochs=4")
    record = outcome.record
    assert (record.status, record.primary) == ("completed", metric)
    assert list(record.scores["test"]) == [metric, *others]
    assert record.counts == {"scored": {"sentences": 64}.get(task, 32)}
    assert record.score is not None
    assert record.score > 50
    assert record.training["accuracy"] is None

    outputs, targets = [], []

    def spy(model, split, **rest):  # type: ignore[no-untyped-def]
        outputs.append(predict(model, split, **rest).numpy())
        targets.append(split.targets.numpy())
        return torch.from_numpy(outputs[-1])

    monkeypatch.setattr("hydra_peft.training.evaluation.predict", spy)
    again = rebuild.reevaluate(
        outcome.folder, cache=tmp_path / "cache", checkpoint=None, data=None, device="cpu"
    )
    assert again.unmerged.values == record.scores["test"]
    kept = read_tensors(outcome.folder / "predictions.safetensors")["outputs"]
    assert kept.dtype == torch.float32
    assert torch.equal(kept, torch.from_numpy(outputs[0]))
    assert record.score == pytest.approx(
        plain(outputs[0].astype(np.float64), targets[0].astype(np.float64)), abs=1e-4
    )
    monkeypatch.undo()


def test_it_is_in_tables_and_evaluated_by_its_script(
    do: Callable[..., Outcome],
    extra_tasks: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [f"hydra.searchpath=[file://{extra_tasks}]", "dataset=brightness"]
    first = do(*words, "protocol.evaluate_every=1")
    assert results(do(*words, "protocol.evaluate_every=1").record) == results(first.record)
    (table,), _ = build_tables([run.record for run in collect(tmp_path / "runs").completed])
    assert table.rows[0].scores["brightness"] == {0: first.record.score}
    call = ["evaluate.py", f"run={first.folder}", f"cache={tmp_path}/cache", "device=cpu"]
    monkeypatch.setattr(sys, "argv", call)
    assert evaluate.main() == 0
    assert f"{first.record.score:.4f}%  pearson" in capsys.readouterr().out


def test_images_for_a_model_of_text_and_the_reverse_are_sentences(
    configure: Callable[..., RunConfig], extra_tasks: Path
) -> None:
    place = f"hydra.searchpath=[file://{extra_tasks}]"
    config = configure(place, "dataset=brightness", "model=tiny_text", "method=linear")
    with pytest.raises(UserError, match="has images, and the backbone takes none"):
        run(config)


def test_only_a_head_is_trained_on_features_of_text(
    do: Callable[..., Outcome], extra_tasks: Path
) -> None:
    place = f"hydra.searchpath=[file://{extra_tasks}]"
    outcome = do(place, "dataset=sentences", "model=tiny_text", "method=linear")
    assert outcome.record.path["features"] == "computed once"
