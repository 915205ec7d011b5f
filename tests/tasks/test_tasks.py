"""Kinds of task: losses against plain formulas, targets that do not fit, scores by name."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch
from torch import Tensor

from hydra_peft.errors import UserError
from hydra_peft.tasks import Task, build_task
from hydra_peft.tasks.classification import Classification

OUTPUTS = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_classification_is_cross_entropy_with_smoothed_targets() -> None:
    labels = torch.tensor([0, 2, 1, 1, 0, 2])
    task = build_task("classification", outputs=3, metrics=["accuracy"], label_smoothing=0.3)
    for loss, row, label in zip(task.loss(OUTPUTS, labels), OUTPUTS, labels, strict=True):
        logs = (row - row.exp().sum().log()).tolist()
        wanted = [0.1 + 0.7 * (c == int(label)) for c in range(3)]
        assert float(loss) == pytest.approx(-sum(w * g for w, g in zip(wanted, logs, strict=True)))
    hits = task.hits(OUTPUTS, labels)
    assert hits.tolist() == [
        int(r.argmax()) == int(c) for r, c in zip(OUTPUTS, labels, strict=True)
    ]


def test_gradients_are_those_of_the_mean_cross_entropy_bit_for_bit() -> None:
    outputs = OUTPUTS.float().requires_grad_()
    labels = torch.tensor([0, 2, 1, 1, 0, 2])
    task = build_task("classification", outputs=3, metrics=["accuracy"])
    (ours,) = torch.autograd.grad(task.loss(outputs, labels).mean(), outputs)
    (theirs,) = torch.autograd.grad(torch.nn.functional.cross_entropy(outputs, labels), outputs)
    assert torch.equal(ours, theirs)


def test_multilabel_is_binary_cross_entropy_over_all_classes() -> None:
    targets = OUTPUTS > 0.4
    task = build_task("multilabel", outputs=3, metrics=["map_11point"])
    expected = [
        sum(math.log1p(math.exp(-z if t else z)) for z, t in zip(row, truth, strict=True)) / 3
        for row, truth in zip(OUTPUTS.tolist(), targets.tolist(), strict=True)
    ]
    assert task.loss(OUTPUTS, targets).tolist() == pytest.approx(expected)
    assert not task.has_hits
    assert task.hits(OUTPUTS, targets).tolist() == [False] * 6


def test_regression_is_the_squared_error() -> None:
    targets = torch.arange(6.0)
    task = build_task("regression", outputs=1, metrics=["pearson", "spearman"])
    loss = task.loss(OUTPUTS[:, :1].float(), targets)
    assert loss.tolist() == pytest.approx(
        [(float(row[0]) - t) ** 2 for row, t in zip(OUTPUTS, targets.tolist(), strict=True)]
    )
    assert list(task.scores(OUTPUTS[:, :1], targets)) == ["pearson", "spearman"]
    assert task.primary.name == "pearson"


@pytest.mark.parametrize(
    ("kind", "outputs", "targets"),
    [
        ("classification", 3, torch.tensor([0.0, 1.0])),
        ("classification", 3, torch.tensor([[0], [1]])),
        ("classification", 3, torch.tensor([0, 3])),
        ("classification", 3, torch.tensor([-1, 2])),
        ("multilabel", 3, torch.tensor([0, 1, 2])),
        ("multilabel", 3, torch.zeros(2, 4, dtype=torch.bool)),
        ("regression", 1, torch.tensor([1, 2])),
        ("regression", 1, torch.tensor([1.0, math.nan])),
        ("regression", 1, torch.zeros(2, 1)),
    ],
)
def test_targets_that_do_not_fit_are_refused(kind: str, outputs: int, targets: Tensor) -> None:
    with pytest.raises(UserError, match=r"^mini/x train has "):
        some(kind, outputs).check_targets(targets, "mini/x train")


@pytest.mark.parametrize(
    ("kind", "outputs", "targets"),
    [
        ("classification", 3, torch.tensor([0, 2])),
        ("multilabel", 3, torch.zeros(2, 3, dtype=torch.bool)),
        ("regression", 1, torch.tensor([1.0, -2.0])),
    ],
)
def test_targets_that_fit_pass(kind: str, outputs: int, targets: Tensor) -> None:
    some(kind, outputs).check_targets(targets, "mini/x train")


def test_probabilities_and_answers_by_kind() -> None:
    names = ["a", "b", "c"]
    rows = OUTPUTS.tolist()
    shares = [math.exp(z) / sum(map(math.exp, row)) for row in rows for z in row]
    kind = some("classification", 3)
    assert kind.probabilities(OUTPUTS).flatten().tolist() == pytest.approx(shares)
    best = [names[row.index(max(row))] for row in rows]
    assert kind.answers(kind.probabilities(OUTPUTS), names) == best
    kind = some("multilabel", 3)
    each = [1 / (1 + math.exp(-z)) for row in rows for z in row]
    assert kind.probabilities(OUTPUTS).flatten().tolist() == pytest.approx(each)
    told = ["; ".join(n for n, z in zip(names, row, strict=True) if z > 0) for row in rows]
    assert kind.answers(kind.probabilities(OUTPUTS), names) == told
    assert any(";" in text for text in told)
    kind = some("regression", 1)
    values = torch.tensor([[1234567.0], [-0.5]])
    assert torch.equal(kind.probabilities(values), values)
    assert kind.answers(values, []) == ["1.23457e+06", "-0.5"]
    assert not kind.has_classes


def some(kind: str, outputs: int) -> Task:
    metric = {"classification": "accuracy", "multilabel": "map_11point", "regression": "pearson"}
    return build_task(kind, outputs=outputs, metrics=[metric[kind]])


class Ordinal(Classification):
    """A kind derived from another one, as somebody adds it in a module of its own."""

    kind: ClassVar[str] = "ordinal"


def test_a_derived_kind_has_the_metrics_of_what_it_is_derived_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = SimpleNamespace(TASK=Ordinal)
    monkeypatch.setattr("hydra_peft.tasks.find_module", lambda *_: found)
    task = build_task("ordinal", outputs=3, metrics=["accuracy", "mean_per_class"])
    assert task.kinds() == ("ordinal", "classification")
    labels = torch.tensor([0, 2, 1, 1, 0, 2])
    hits = int((OUTPUTS.argmax(1) == labels).sum())
    assert task.scores(OUTPUTS, labels)["accuracy"] == pytest.approx(100 * hits / 6)
    with pytest.raises(UserError, match=r"tasks of kind ordinal: .* accuracy"):
        build_task("ordinal", outputs=3, metrics=["pearson"])


def test_what_does_not_go_together_is_said() -> None:
    with pytest.raises(UserError, match="did you mean 'regression'"):
        build_task("regresion", outputs=1, metrics=["pearson"])
    with pytest.raises(UserError, match=r"score tasks of kind classification: .* accuracy, f1"):
        build_task("classification", outputs=3, metrics=["pearson"])
    for name in ("f1", "roc_auc"):
        with pytest.raises(UserError, match=rf"'{name}' scores tasks of 2 classes, and .* has 3"):
            build_task("classification", outputs=3, metrics=["accuracy", name])
    with pytest.raises(UserError, match="one output"):
        build_task("regression", outputs=2, metrics=["pearson"])
    with pytest.raises(UserError, match="at least one metric"):
        build_task("regression", outputs=1, metrics=[])
    with pytest.raises(UserError, match="0 outputs"):
        build_task("multilabel", outputs=0, metrics=["map_11point"])
