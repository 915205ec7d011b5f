"""Agreement, shared mistakes and ensembles of predictions, by hand and by scikit-learn."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.metrics import accuracy_score, jaccard_score

from hydra_peft.analysis.agreement import agreement, ensemble, shared_mistakes, ties


def test_values_by_hand() -> None:
    targets = torch.tensor([0, 1, 2, 0, 1])
    first = torch.tensor([0, 1, 1, 1, 2])  # wrong at 2, 3, 4
    second = torch.tensor([0, 2, 1, 2, 1])  # wrong at 1, 2, 3
    assert agreement(first, second) == 40.0  # at 0 and 2
    assert shared_mistakes(first, second, targets) == 50.0  # 2 and 3 of 1, 2, 3 and 4
    assert (agreement(first, first), shared_mistakes(first, first, targets)) == (100.0, 100.0)
    assert math.isnan(shared_mistakes(targets, targets, targets))


def test_values_are_scikit_learns() -> None:
    draw = torch.Generator().manual_seed(0)
    targets, first, second = (torch.randint(4, (200,), generator=draw) for _ in range(3))
    assert agreement(first, second) == pytest.approx(100 * accuracy_score(first, second))
    wrong = jaccard_score((first != targets).numpy(), (second != targets).numpy())
    assert shared_mistakes(first, second, targets) == pytest.approx(100 * wrong)


def test_an_ensemble_is_the_mean_of_probabilities() -> None:
    first = torch.tensor([[0.6, 0.4, 0.0], [0.5, 0.25, 0.25]])
    second = torch.tensor([[0.1, 0.8, 0.1], [0.25, 0.5, 0.25]])
    mean = ensemble([first, second])
    assert mean.dtype == torch.float64
    assert mean.tolist() == [pytest.approx([0.35, 0.6, 0.05]), [0.375, 0.375, 0.25]]
    assert (ties(mean), ties(first)) == (1, 0)
    rounded = torch.tensor([[0.25, 0.5 + 2e-7, 0.25 - 2e-7]])  # float32 adds up to so much else
    mean = ensemble([second[1:], rounded.roll(-1, dims=1)])
    assert (mean.argmax().item(), ties(mean)) == (0, 1)
