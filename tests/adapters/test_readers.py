"""Modules that read the weight of a layer instead of calling it, found in their source."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import hydra_peft
from hydra_peft.adapters.readers import Reading, weight_readings


class Holder(nn.Module):
    """What is below holds ``fc`` and differs in how it uses it."""

    def __init__(self, bias: Any = None, fused: bool = True) -> None:
        super().__init__()
        self.fc, self.bias, self.fused = nn.Linear(4, 4), bias, fused
        nn.init.normal_(self.fc.weight)  # not in what is called


class Looks(Holder):
    """As T5: looks at the dtype, and calls the layer."""

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(self.fc.weight, Tensor) and x.dtype != self.fc.weight.dtype:
            x = x.to(self.fc.weight.dtype)
        return self.fc(x) if self.fc.weight is not None else x.new_zeros(self.fc.weight.size(0))


class Reads(Holder):
    def forward(self, x: Tensor) -> Tensor:
        return self._product(x)

    def _product(self, x: Tensor) -> Tensor:
        return F.linear(x, self.fc.weight.t(), self.fc.bias)


class Decides(Holder):
    """As BEiT: reads in one case of its attributes, in nested tests."""

    def forward(self, x: Tensor) -> Tensor:
        if self.bias is None:
            return self.fc(x)
        for _ in range(1):
            if not (self.fused and self.bias > 1):
                return self.fc(x)
            x = F.linear(x, self.fc.weight)
        return x


class Chooses(Holder):
    def forward(self, x: Tensor, fast: bool = False) -> Tensor:
        if self.training or fast:
            return F.linear(x, self.fc.weight) if self.fused else self.fc(x)
        return self.fc(x)


class Outer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.part = Looks()

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.part.fc.weight)


@pytest.mark.parametrize(
    ("model", "name", "expected"),
    [
        (Looks(), "fc", None),
        (Reads(), "fc", Reading("Reads", called=False)),
        (Decides(), "fc", None),
        (Decides(bias=2), "fc", Reading("Decides", called=False)),
        (Decides(bias=1), "fc", None),
        (Decides(bias=2, fused=False), "fc", None),
        (Chooses(), "fc", Reading("Chooses", called=True)),
        (Chooses(fused=False), "fc", None),
        (Outer(), "part.fc", Reading("Outer", called=True)),
        (nn.Sequential(Reads()), "0.fc", Reading("Reads", called=False)),
        (nn.Sequential(nn.Linear(2, 2)), "0", None),
    ],
)
def test_how_a_layer_is_used(model: nn.Module, name: str, expected: Reading | None) -> None:
    assert weight_readings(model, [name]).get(name) == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_that_looks_at_a_dtype_trains_with_dropout(dtype: torch.dtype) -> None:
    model = nn.Sequential(Looks()).to(dtype)
    hydra_peft.inject(model, "lora", targets=["fc"], rank=1, dropout=0.5, head=())
    hydra_peft.set_training_mode(model)
    model(torch.ones(2, 4)).sum().backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_dropout_where_a_weight_is_read_in_another_case_is_told_at_that() -> None:
    model = Chooses()
    hydra_peft.inject(model, "lora", targets=["fc"], rank=1, dropout=0.5, head=())
    with pytest.raises(hydra_peft.UserError, match=r"reads the weight of 'fc' instead of"):
        model.train()(torch.ones(2, 4))
    assert model.eval()(torch.ones(2, 4)).shape == (2, 4)
