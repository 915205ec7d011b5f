"""Random states come back as they were, and what is none is refused."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from hydra_peft.errors import UserError
from hydra_peft.training.random_states import (
    check_random_states,
    random_states,
    set_random_states,
)

CPU = torch.device("cpu")


def draw() -> list[float]:
    return [
        random.random(),
        random.gauss(0, 1),
        np.random.rand(),
        np.random.randn(),
        *torch.rand(3).tolist(),
        torch.randn(()).item(),
    ]


@pytest.mark.parametrize("drawn", [0, 1, 700])
def test_the_same_numbers_come_again(drawn: int) -> None:
    for _ in range(drawn):
        draw()
    states = random_states(CPU)
    first = draw()
    draw()
    set_random_states(states, CPU)
    assert draw() == first


@pytest.mark.parametrize("name", ["python", "numpy", "torch"])
@pytest.mark.parametrize("value", [-1, 2**33])
def test_what_is_no_state_is_refused(name: str, value: int) -> None:
    states = random_states(CPU)
    if name == "torch":
        states[name] = torch.full((16,), value % 256, dtype=torch.uint8)
    else:
        states[name] = states[name].clone()
        states[name][624] = value
    before = draw_state()
    for take in (check_random_states, lambda found: set_random_states(found, CPU)):
        with pytest.raises(UserError, match="random state"):
            take(states)
    assert draw_state() == before


def draw_state() -> list[object]:
    return [tensor.tolist() for tensor in random_states(CPU).values()]
