"""Adapters of linear layers for modules that read a layer's weight instead of calling it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import hydra_peft
from hydra_peft.adapters.base import NotMergeable
from hydra_peft.adapters.linear_adapter import LinearAdapter

METHODS: dict[str, dict[str, Any]] = {
    "lora": {},
    "dora": {},
    "vera": {"rank": 4},
    "fact_tt": {"rank": 2},
    "fact_tk": {"rank": 2},
    "kadaptation": {"phm_dim": 4, "parts": []},
}


class Doubled(nn.Linear):
    """A linear layer with a forward of its own."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


def adapted(name: str, layer: nn.Linear, **options: Any) -> LinearAdapter:
    model = nn.Sequential(layer)
    hydra_peft.inject(model, name, head=(), targets=["0"], **METHODS[name], **options)
    for parameter in model[0].parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.3)
    found = model[0]
    assert isinstance(found, LinearAdapter)
    return found


@pytest.mark.parametrize("name", METHODS)
def test_the_weight_that_is_read_is_that_of_the_call(name: str) -> None:
    layer = adapted(name, nn.Linear(8, 8), dropout=0.5).eval()
    x = torch.randn(3, 8, requires_grad=True)
    assert (layer.in_features, layer.out_features) == (8, 8)
    read, called = F.linear(x, layer.weight, layer.bias), layer(x)
    torch.testing.assert_close(read, called, rtol=0, atol=1e-5)
    own = [parameter for _, parameter in layer.adapter_parameters() if parameter.requires_grad]
    for one, other in zip(
        torch.autograd.grad(read.square().sum(), own),
        torch.autograd.grad(called.square().sum(), own),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(layer.weight, layer.weight.float(), rtol=0, atol=0)
    assert layer.weight.dtype == torch.float32
    layer.train()
    weight = layer.weight
    assert isinstance(weight, torch.Tensor)  # models look at this, and call the layer
    assert (weight.dtype, weight.shape) == (torch.float32, (8, 8))
    assert (weight.device, layer.bias.ndim, weight.size(0)) == (x.device, 1, 8)
    for use in (lambda: F.linear(x, weight), lambda: layer.bias + 1, lambda: weight.t()):
        with pytest.raises(hydra_peft.UserError, match="reads the weight of '0' instead of call"):
            use()
    with pytest.raises(AttributeError, match="has no attribute 'weigth'"):
        _ = layer.weigth


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
@pytest.mark.parametrize("name", METHODS)
def test_traced_while_dropout_acts(name: str) -> None:
    layer, x = adapted(name, nn.Linear(8, 8), dropout=0.5).train(), torch.randn(3, 8)
    traced = torch.jit.trace(layer, x, check_trace=False)
    found = []
    for call in (layer, traced):
        torch.manual_seed(1)
        found.append(call(x))
    torch.testing.assert_close(*found, rtol=0, atol=1e-6)
    assert not torch.equal(traced(x), traced(x))


@pytest.mark.parametrize("name", [name for name in METHODS if name != "dora"])
def test_a_layer_with_a_forward_of_its_own_is_called_and_not_merged(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    base = Doubled(8, 8)
    layer = adapted(name, base, **({"bias": False} if name in ("lora", "kadaptation") else {}))
    x = torch.randn(3, 8)
    update = F.linear(x, layer.folded(torch.float32)[0] - base.weight)
    torch.testing.assert_close(layer.eval()(x), base(x) + update, rtol=0, atol=1e-5)
    assert f"method '{name}' could not be merged into 1 of 1 layers, such as '0'" in caplog.text
    with pytest.raises(NotMergeable, match="Doubled computes something else than a plain"):
        layer.merged()


def test_dora_needs_a_layer_that_is_its_weight() -> None:
    with pytest.raises(hydra_peft.UserError, match="0: a Doubled has a forward of its own"):
        adapted("dora", Doubled(8, 8))
