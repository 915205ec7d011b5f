"""Learning rates against values worked out by hand, torch's own schedules and timm's."""

from __future__ import annotations

import pytest
import torch

from hydra_peft.errors import UserError
from hydra_peft.schedules import schedule_class
from hydra_peft.schedules.constant import Constant
from hydra_peft.schedules.cosine import Cosine
from hydra_peft.schedules.linear import Linear
from hydra_peft.schedules.timm_cosine import TimmCosine


def test_worked_values() -> None:
    rate = Cosine(warmup_epochs=1, warmup_lr=0.1, min_lr=0.2).rates(1.0, 11)
    at = [rate(epoch, step, 10) for epoch, step in ((0, 0), (0, 5), (1, 0), (6, 0), (11, 0))]
    assert at == pytest.approx([0.1, 0.55, 1.0, 0.6, 0.2])
    rate = Linear(warmup_epochs=1, warmup_lr=0.1, min_lr=0.2).rates(1.0, 11)
    at = [rate(epoch, step, 10) for epoch, step in ((0, 5), (1, 0), (3, 5), (11, 0))]
    assert at == pytest.approx([0.55, 1.0, 0.8, 0.2])
    rate = Constant(warmup_epochs=1, warmup_lr=0.0).rates(0.3, 11)
    assert [rate(0, 5, 10), rate(1, 0, 10), rate(10, 9, 10)] == pytest.approx([0.15, 0.3, 0.3])


def test_cosine_equals_torchs_cosine_annealing() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=40, eta_min=0.01)
    rate = Cosine(warmup_epochs=0, warmup_lr=0.0, min_lr=0.01).rates(0.3, 4)
    for step in range(40):
        assert rate(0, step, 10) == pytest.approx(theirs.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        theirs.step()


def test_linear_equals_transformers_schedule() -> None:
    # get_linear_schedule_with_warmup, written out: a factor of the rate at each step.
    warmup, total, lr = 12, 60, 2e-5
    rate = Linear(warmup_epochs=2, warmup_lr=0.0, min_lr=0.0).rates(lr, 10)
    for step in range(total):
        rising = step / max(1, warmup)
        falling = max(0.0, (total - step) / max(1, total - warmup))
        expected = lr * (rising if step < warmup else falling)
        assert rate(step // 6, step % 6, 6) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("period", "expected"),
    [
        # extremebird/Hydra: t_initial 500, warm-up 10 from 1e-6, step(epoch) after each epoch.
        (
            500,
            {1: 1e-6, 2: 1e-6, 3: 1.009e-4, 11: 9.001e-4, 12: 9.99e-4, 51: 9.767e-4, 100: 9.091e-4},
        ),
        # RepAdapter and FacT: the same with t_initial 100, here the training's length.
        (None, {12: 9.758e-4, 51: 5.205e-4, 100: 1.10e-5}),
    ],
)
def test_timm_cosine_is_what_released_code_runs(
    period: int | None, expected: dict[int, float]
) -> None:
    schedule = TimmCosine(warmup_epochs=10, warmup_lr=1e-6, min_lr=1e-5, period_epochs=period)
    rate = schedule.rates(1e-3, 100)
    for epoch, lr in expected.items():
        assert rate(epoch - 1, 0, 7) == rate(epoch - 1, 6, 7) == pytest.approx(lr, rel=3e-3)


def test_names_and_options_that_do_not_fit() -> None:
    assert schedule_class("linear") is Linear
    with pytest.raises(UserError, match="did you mean 'cosine'"):
        schedule_class("cosinus")
    with pytest.raises(UserError, match=r"period_epochs is for scheduler\.name=timm_cosine"):
        Cosine(warmup_epochs=0, warmup_lr=0.0, min_lr=0.0, period_epochs=5)
    with pytest.raises(UserError, match=r"scheduler\.min_lr=-1 is not allowed"):
        Linear(warmup_epochs=0, warmup_lr=0.0, min_lr=-1)
    assert Constant(warmup_epochs=0, warmup_lr=9.0).ends() == {}
    assert Linear(warmup_epochs=1, warmup_lr=1.0, min_lr=2.0).ends() == {
        "warmup_lr": 1.0,
        "min_lr": 2.0,
    }
