"""RepAdapter against its formula."""

from __future__ import annotations

import copy

import pytest
import torch
from stock_vit import images, small_vit, vit_b16
from torch import Tensor, nn
from torch.func import functional_call

import hydra_peft
from hydra_peft import UserError
from hydra_peft.adapters.base import NotMergeable


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 239_808),
        ({"bias": False}, 221_184),  # what published tables print
        ({"targets": ["attn.qkv"]}, 119_904),  # the release's repattn
    ],
)
def test_counts_of_vit_b16(options: dict[str, object], count: int) -> None:
    model = vit_b16()
    hydra_peft.inject(model, "repadapter", **options)
    assert hydra_peft.count_parameters(model).adapter == count


def test_start_is_the_frozen_backbone() -> None:
    model = small_vit()
    expected = model(images())
    hydra_peft.inject(model, "repadapter", rank=4)
    torch.testing.assert_close(model(images()), expected, rtol=0, atol=0)


def folded(fresh: nn.Module, factors: dict[str, list[Tensor]], scale: float, x: Tensor) -> Tensor:
    """Compute the formula by weights: W (I + s B A) and c + s W (B a + b), B by its two blocks."""
    weights = {}
    for name, (down, start, up, shift) in factors.items():
        layer = fresh.get_submodule(name)
        wide, narrow = down.shape[1] // 2, down.shape[0] // 2
        top = torch.cat((up[0], torch.zeros(wide, narrow, dtype=up.dtype)), dim=1)
        bottom = torch.cat((torch.zeros(wide, narrow, dtype=up.dtype), up[1]), dim=1)
        block = torch.cat((top, bottom))
        weight, bias = layer.weight.detach(), layer.bias.detach()
        weights[f"{name}.weight"] = weight + scale * weight @ block @ down
        weights[f"{name}.bias"] = bias + scale * weight @ (block @ start + shift)
    return functional_call(fresh, weights, x)


def test_outputs_and_gradients_are_the_formulas() -> None:
    fresh = small_vit().double()
    model = copy.deepcopy(fresh)
    done = hydra_peft.inject(model, "repadapter", rank=4, scale=0.5)
    factors = {}
    for name in done.layers:
        layer = model.get_submodule(name)
        own = (layer.down.weight, layer.down.bias, layer.up, layer.shift)
        for parameter in own:
            nn.init.normal_(parameter, std=0.1)
        factors[name] = [p.detach().clone().requires_grad_() for p in own]
    x = images(dtype=torch.float64)
    outputs = model(x), folded(fresh, factors, 0.5, x)
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-12)
    for output in outputs:
        output.pow(2).sum().backward()
    for name, plain in factors.items():
        layer = model.get_submodule(name)
        own = (layer.down.weight, layer.down.bias, layer.up, layer.shift)
        for parameter, other in zip(own, plain, strict=True):
            torch.testing.assert_close(parameter.grad, other.grad, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 9}, "blocks.0.attn.qkv: rank 9 is not divisible by groups=2"),
        ({"rank": 25, "groups": 5}, "rank 25 does not fit a linear layer that reads 24 features"),
        ({"rank": 10, "groups": 5}, "it reads, 24 is not divisible by groups=5"),
        ({"targets": ["norm1"]}, "only torch.nn.Linear can be adapted"),
    ],
)
def test_refusals_change_nothing(options: dict[str, object], message: str) -> None:
    model = small_vit()
    before = str(model)
    with pytest.raises(UserError, match=message):
        hydra_peft.inject(model, "repadapter", **options)
    assert str(model) == before


class Normalised(nn.Linear):
    """A linear layer whose output is not that of its weight."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.weight / self.weight.norm(), self.bias)


def test_only_plain_layers_with_room_for_its_biases_merge() -> None:
    model = nn.Sequential(Normalised(8, 8))
    hydra_peft.inject(model, "repadapter", rank=4, targets=["0"], head=())
    with pytest.raises(NotMergeable, match=r"0: a .*Normalised computes something else than"):
        hydra_peft.merge(model)
    bare = nn.Sequential(nn.Linear(8, 8, bias=False))
    with pytest.raises(UserError, match=r"0: it has no bias, so the adapter's biases could .*="):
        hydra_peft.inject(bare, "repadapter", rank=4, targets=["0"], head=())
    hydra_peft.inject(bare, "repadapter", rank=4, targets=["0"], head=(), bias=False)
    hydra_peft.merge(bare)


def test_modules_that_read_the_weight_see_it_but_for_its_dropout() -> None:
    attention = nn.MultiheadAttention(8, 2, batch_first=True).double()
    plain = copy.deepcopy(attention)
    options = {"targets": ["out_proj"], "rank": 4, "head": ()}
    with pytest.raises(hydra_peft.UserError, match="set dropout=0"):
        hydra_peft.inject(attention, "repadapter", **options)
    hydra_peft.inject(attention, "repadapter", **options, dropout=0.0)
    layer = attention.out_proj
    for _, parameter in layer.adapter_parameters():
        nn.init.normal_(parameter)
    x = torch.randn(2, 3, 8, dtype=torch.float64)
    plain.out_proj = layer.merged()
    torch.testing.assert_close(attention(x, x, x)[0], plain(x, x, x)[0], rtol=0, atol=1e-12)
