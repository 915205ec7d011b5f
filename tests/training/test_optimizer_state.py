"""Optimizer state as tensors: predicted before a step, written, and put back bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
import torch
from torch import Tensor, nn

from hydra_peft.training.optimizer_state import load_state_tensors, state_layout, state_tensors

KINDS: dict[str, Callable[[Iterable[Tensor]], torch.optim.Optimizer]] = {
    "adamw": lambda p: torch.optim.AdamW(p, fused=True),
    "amsgrad": lambda p: torch.optim.AdamW(p, amsgrad=True),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, fused=True),
    "plain": lambda p: torch.optim.SGD(p, lr=0.1),
    "rmsprop": lambda p: torch.optim.RMSprop(p, momentum=0.9),
    "adagrad": lambda p: torch.optim.Adagrad(p),
}


def some(kind: str) -> tuple[list[nn.Parameter], torch.optim.Optimizer]:
    torch.manual_seed(0)
    parameters = [nn.Parameter(torch.randn(4, 2)), nn.Parameter(torch.randn(()))]
    parameters.append(nn.Parameter(torch.randn(3, dtype=torch.float64)))
    return parameters, KINDS[kind](parameters)


def step(parameters: list[nn.Parameter], optimizer: torch.optim.Optimizer, number: int) -> None:
    for parameter in parameters:
        parameter.grad = torch.full_like(parameter, 0.1 + number) * parameter.detach()
    optimizer.step()


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_state_goes_on_with_the_same_bits(kind: str) -> None:
    parameters, optimizer = some(kind)
    expected = state_layout(optimizer)
    for number in range(3):
        step(parameters, optimizer, number)
    tensors = {name: tensor.clone() for name, tensor in state_tensors(optimizer).items()}
    assert {name: (t.shape, t.dtype) for name, t in tensors.items()} == expected

    others, other = some(kind)
    load_state_tensors(other, tensors)
    with torch.no_grad():
        for mine, theirs in zip(others, parameters, strict=True):
            mine.copy_(theirs)
    step(parameters, optimizer, 3)
    step(others, other, 3)
    assert all(torch.equal(a, b) for a, b in zip(parameters, others, strict=True))


def test_a_parameter_without_gradient_has_no_state() -> None:
    parameters, optimizer = some("adamw")
    parameters[0].grad = torch.ones(4, 2)
    optimizer.step()
    names = state_tensors(optimizer)
    assert sorted(names) == ["0/exp_avg", "0/exp_avg_sq", "0/step"]
    assert state_layout(optimizer, names).keys() == names.keys()
    assert len(state_layout(optimizer)) == 9
