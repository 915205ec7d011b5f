"""Optimizers against their update rules in float64, and options that do not fit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from hydra_peft.errors import UserError
from hydra_peft.optimizers import Optimizer, optimizer_class
from hydra_peft.optimizers.adamw import AdamW
from hydra_peft.optimizers.sgd import SGD

GRADIENTS = [[0.5, -2.0], [0.1, 0.3], [-1.0, 0.2]]


def stepped(optimizer: Optimizer) -> list[float]:
    parameter = nn.Parameter(torch.tensor([1.0, -1.0], dtype=torch.float64))
    steps = optimizer.build([parameter])
    for gradient in GRADIENTS:
        parameter.grad = torch.tensor(gradient, dtype=torch.float64)
        steps.step()
    values: list[float] = parameter.tolist()
    return values


def test_adamw_is_the_papers_algorithm_2() -> None:
    theta, m, v = [1.0, -1.0], [0.0, 0.0], [0.0, 0.0]
    for t, gradient in enumerate(GRADIENTS, start=1):
        for i, g in enumerate(gradient):
            m[i] = 0.9 * m[i] + 0.1 * g
            v[i] = 0.99 * v[i] + 0.01 * g * g
            direction = m[i] / (1 - 0.9**t) / ((v[i] / (1 - 0.99**t)) ** 0.5 + 1e-8)
            theta[i] -= 0.1 * direction + 0.1 * 0.01 * theta[i]
    measured = stepped(AdamW(lr=0.1, weight_decay=0.01, betas=[0.9, 0.99], eps=1e-8))
    assert measured == pytest.approx(theta, rel=1e-12)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_keeps_a_share_of_the_last_direction(nesterov: bool) -> None:
    theta, kept = [1.0, -1.0], [0.0, 0.0]
    for gradient in GRADIENTS:
        for i, g in enumerate(gradient):
            whole = g + 0.01 * theta[i]
            kept[i] = 0.9 * kept[i] + whole
            theta[i] -= 0.1 * (whole + 0.9 * kept[i] if nesterov else kept[i])
    sgd = SGD(lr=0.1, weight_decay=0.01, momentum=0.9, nesterov=nesterov)
    assert stepped(sgd) == pytest.approx(theta, rel=1e-12)


def test_identity_has_the_name() -> None:
    sgd = SGD(lr=0.1, weight_decay=0.0, momentum=0.9, nesterov=False)
    assert sgd.identity() == {
        "name": "sgd",
        "lr": 0.1,
        "weight_decay": 0.0,
        "momentum": 0.9,
        "nesterov": False,
    }


def test_names_and_options_that_do_not_fit() -> None:
    with pytest.raises(UserError, match="choose one of adamw, sgd"):
        optimizer_class("lion")
    with pytest.raises(UserError, match=r"optimizer\.momentum=1\.0 is not allowed"):
        SGD(lr=0.1, weight_decay=0.0, momentum=1.0, nesterov=False)
    with pytest.raises(UserError, match="nesterov=true looks ahead"):
        SGD(lr=0.1, weight_decay=0.0, momentum=0.0, nesterov=True)
    with pytest.raises(UserError, match="it must be two numbers"):
        AdamW(lr=0.1, weight_decay=0.0, betas=[0.9], eps=1e-8)
