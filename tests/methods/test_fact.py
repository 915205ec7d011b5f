"""FacT against its layer-wise formulas on raw weights, and its published counts."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import timm
import torch
from stock_vit import small_vit, vit_b16
from torch import Tensor, nn
from torch.func import functional_call

import hydra_peft
from hydra_peft import UserError
from hydra_peft.adapters.base import Adapter

SITES = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
RANK, SCALE = 3, 2.0


def changed(method: str, block: int, factors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the updates of one block, as the release computes them (methods.md, 2.10)."""
    u, v = factors["inner"], factors["outer"]

    def update(core: Tensor) -> Tensor:
        return SCALE * v @ core @ u

    def rows(core: Tensor) -> Tensor:
        return torch.cat([update(part) for part in core.split(RANK, dim=0)])

    def columns(core: Tensor) -> Tensor:
        return torch.cat([update(part) for part in core.split(RANK, dim=1)], dim=1)

    if method == "fact_tt":
        qkv, proj, fc1, fc2 = (factors[f"blocks.{block}.{site}.core.weight"] for site in SITES)
        return dict(zip(SITES, (rows(qkv), update(proj), rows(fc1), columns(fc2)), strict=True))
    whole = torch.einsum("abk,kj->abj", factors["cube"], factors["mixing"])
    first = 12 * block
    q, k, values, proj = (whole[:, :, first + j].T for j in range(4))
    packed = torch.cat([update(q), update(k), update(values)])
    fc1, fc2 = (whole[:, :, first + at : first + at + 4].reshape(RANK, 4 * RANK) for at in (4, 8))
    up = torch.cat([update(fc1[:, i * RANK : (i + 1) * RANK].T) for i in range(4)])
    return dict(zip(SITES, (packed, update(proj), up, columns(fc2)), strict=True))


def shared_name(name: str) -> str:
    """Return a shared factor's short name, or the name of a layer's own."""
    last = name.rpartition(".")[2]
    return last if last in ("inner", "outer", "cube", "mixing") else name


@pytest.mark.parametrize("method", ["fact_tt", "fact_tk"])
def test_forward_gradients_and_merge_are_those_of_the_formulas(method: str) -> None:
    stock = small_vit(classes=0).double()
    model = copy.deepcopy(stock)
    hydra_peft.inject(model, method, rank=RANK, scale=SCALE, dropout=0.0)
    factors = {}
    for name, parameter in hydra_peft.trainable_parameters(model).adapter.items():
        with torch.no_grad():
            parameter.add_(torch.randn_like(parameter) * 0.2)
        factors[shared_name(name)] = parameter.detach().clone().requires_grad_()
    assert len(factors) == (2 + 8 if method == "fact_tt" else 4)
    weights = {
        (name := f"blocks.{block}.{site}.weight"): stock.get_parameter(name).detach() + update
        for block in range(2)
        for site, update in changed(method, block, factors).items()
    }
    x = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    expected, out = functional_call(stock, weights, x), model(x)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-11)
    upstream = torch.randn_like(out)
    expected.backward(upstream)
    out.backward(upstream)
    for name, parameter in hydra_peft.trainable_parameters(model).adapter.items():
        grad = factors[shared_name(name)].grad
        torch.testing.assert_close(parameter.grad, grad, rtol=1e-9, atol=1e-10)
    hydra_peft.merge(model)
    for name, weight in weights.items():
        torch.testing.assert_close(model.get_parameter(name), weight, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("method", "rank", "count"),
    # reference: methods.md 2.10
    [
        ("fact_tt", 4, 8_448),
        ("fact_tt", 8, 21_504),
        ("fact_tt", 16, 61_440),
        ("fact_tk", 16, 30_976),
        ("fact_tk", 32, 86_528),
    ],
)
def test_published_counts(method: str, rank: int, count: int) -> None:
    model = vit_b16()
    hydra_peft.inject(model, method, rank=rank)
    assert hydra_peft.count_parameters(model).adapter == count


def test_it_starts_as_the_frozen_model_and_drops_behind_the_core() -> None:
    stock = small_vit(classes=0)
    model = copy.deepcopy(stock)
    hydra_peft.inject(model, "fact_tk", rank=4, dropout=0.5)
    x = torch.randn(2, 3, 16, 16)
    torch.testing.assert_close(model.train()(x), stock(x), rtol=0, atol=0)  # V = 0
    layer = model.blocks[0].mlp.fc2
    nn.init.normal_(layer.outer)
    x = torch.randn(5, 96)
    torch.manual_seed(3)
    found = layer(x)
    torch.manual_seed(3)
    kept = torch.dropout(torch.ones(5, 4), 0.5, train=True)
    code = kept * ((x.view(5, 4, 24) @ layer.inner.T).flatten(1) @ layer.core(x.dtype).T)
    torch.testing.assert_close(found, layer.base(x) + code @ layer.outer.T, rtol=0, atol=1e-5)


class Separate(nn.Module):
    """An attention with separate layers, whose MLP is not a whole number of widths wide."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.query, self.value = nn.Linear(8, 8), nn.Linear(8, 8)
        self.fc1, self.fc2 = nn.Linear(8, hidden), nn.Linear(hidden, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(torch.relu(self.fc1(self.query(x) * self.value(x))))


@pytest.mark.parametrize("method", ["fact_tt", "fact_tk"])
def test_separate_layers_and_any_whole_number_of_chunks(method: str) -> None:
    model = Separate(24)
    hydra_peft.inject(model, method, targets=["query", "value", "fc1", "fc2"], rank=2)
    slices = 2 + 3 + 3
    own = 4 * slices if method == "fact_tt" else 2 * slices + 8
    assert hydra_peft.count_parameters(model).adapter == 2 * 2 * 8 + own


@pytest.mark.parametrize(
    ("build", "options", "message"),
    [
        (lambda: Separate(20), {"targets": ["query", "fc1"]}, "and fc1 (8->20) is not of wh"),
        (lambda: Separate(16), {"targets": ["query"], "rank": 9}, "rank 9 of method 'fact_tk'"),
        (
            lambda: timm.create_model("swin_tiny_patch4_window7_224", num_classes=0),
            {},
            "one width, 96 here, and layers.1.blocks.0.attn.qkv (192->576) is not of whole ones",
        ),
    ],
)  # fmt: skip
def test_refusals(build: Any, options: dict[str, Any], message: str) -> None:
    with torch.device("meta"):
        model = build()
    with pytest.raises(UserError) as caught:
        hydra_peft.inject(model, "fact_tk", **options)
    assert message in str(caught.value)
    assert not any(isinstance(module, Adapter) for module in model.modules())
