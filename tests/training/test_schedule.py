"""The learning rate against values worked out by hand and against torch's own cosine."""

from __future__ import annotations

import pytest
import torch

from hydra_peft.training.schedule import cosine_with_warmup


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
