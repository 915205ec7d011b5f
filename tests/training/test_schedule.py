"""The learning rate against values worked out by hand and against torch's own cosine."""

from __future__ import annotations

import pytest
import torch

from hydra_peft.training.schedule import build_schedule, cosine_with_warmup, timm_cosine


def test_worked_values() -> None:
    def lr(step: int) -> float:
        return cosine_with_warmup(
            step, total_steps=110, warmup_steps=10, lr=1.0, warmup_lr=0.1, min_lr=0.2
        )

    assert lr(0) == pytest.approx(0.1)
    assert lr(5) == pytest.approx(0.55)
    assert lr(10) == pytest.approx(1.0)
    assert lr(60) == pytest.approx(0.6)
    assert lr(110) == pytest.approx(0.2)


def test_equals_torchs_cosine_annealing() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=40, eta_min=0.01)
    for step in range(40):
        ours = cosine_with_warmup(step, total_steps=40, warmup_steps=0, lr=0.3, min_lr=0.01)
        assert ours == pytest.approx(theirs.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        theirs.step()


def test_timm_cosine_is_what_the_released_code_runs() -> None:
    # extremebird/Hydra: t_initial 500, warm-up 10 from 1e-6, step(epoch) after each epoch.
    rates = timm_cosine(
        100, lr=1e-3, warmup_epochs=10, warmup_lr=1e-6, min_lr=1e-5, period_epochs=500
    )
    at = {1: 1e-6, 2: 1e-6, 3: 1.009e-4, 11: 9.001e-4, 12: 9.990e-4, 51: 9.767e-4, 100: 9.091e-4}
    for epoch, lr in at.items():
        assert rates[epoch - 1] == pytest.approx(lr, rel=6e-4)
    # RepAdapter and FacT: the same with t_initial 100.
    rates = timm_cosine(
        100, lr=1e-3, warmup_epochs=10, warmup_lr=1e-6, min_lr=1e-5, period_epochs=100
    )
    for epoch, lr in {12: 9.758e-4, 51: 5.205e-4, 100: 1.10e-5}.items():
        assert rates[epoch - 1] == pytest.approx(lr, rel=3e-3)


def test_names_of_schedules() -> None:
    settings = {"epochs": 4, "lr": 1.0, "warmup_epochs": 1, "warmup_lr": 0.0, "min_lr": 0.0}
    stepwise = build_schedule("cosine", **settings, period_epochs=None)
    assert stepwise(0, 1, 2) == 0.5
    assert stepwise(1, 0, 2) == 1.0
    by_epoch = build_schedule("timm_cosine", **settings, period_epochs=None)
    assert by_epoch(2, 0, 2) == by_epoch(2, 1, 2)
    assert [by_epoch(e, 0, 2) for e in range(4)] == timm_cosine(
        4, lr=1.0, warmup_epochs=1, warmup_lr=0.0, min_lr=0.0, period_epochs=4
    )
