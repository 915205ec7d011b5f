"""KAdaptation against its formula with Kronecker products, and the release that cannot learn."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from stock_vit import vit_b16
from torch import Tensor, nn

import hydra_peft
from hydra_peft import UserError
from hydra_peft.adapters.base import Adapter

WIDTH, PHM_DIM, SCALE = 12, 4, 5.0


class Packed(nn.Module):
    def __init__(self, *, bias: bool = True) -> None:
        super().__init__()
        self.attn = nn.ModuleDict({"qkv": nn.Linear(WIDTH, 3 * WIDTH, bias=bias)})

    def forward(self, x: Tensor) -> Tensor:
        return self.attn["qkv"](x)


class Separate(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        names = ("query", "key", "value")
        self.layer = nn.ModuleList(
            nn.ModuleDict({n: nn.Linear(WIDTH, WIDTH) for n in names}) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layer:
            x = torch.cat([layer[n](x) for n in ("query", "key", "value")], dim=-1)
            x = x.unflatten(-1, (3, WIDTH)).sum(-2)
        return x


def update(p: Tensor, q: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Return H of the row form ``y = x H``: a sum of Kronecker products (methods.md, 2.13)."""
    return sum(torch.kron(torch.outer(p[i], q[i]), torch.outer(u[i], v[i])) for i in range(len(p)))  # type: ignore[return-value]


def randomized(model: nn.Module) -> dict[str, Tensor]:
    """Give the trained parameters values; return copies of them by name."""
    copies = {}
    for name, parameter in hydra_peft.trainable_parameters(model).adapter.items():
        nn.init.normal_(parameter, std=0.4)
        copies[name] = parameter.detach().clone().requires_grad_()
    return copies


@pytest.mark.parametrize("bias", [True, False])
def test_forward_gradients_and_merge_on_a_packed_layer(bias: bool) -> None:
    stock = Packed().double()
    model = copy.deepcopy(stock)
    options = {"phm_dim": PHM_DIM, "scale": SCALE, "dropout": 0.0, "bias": bias}
    hydra_peft.inject(model, "kadaptation", **options)
    own = randomized(model)
    assert len(own) == 2 * 4 + bias
    x = torch.randn(5, WIDTH, dtype=torch.float64)
    q, k, v = stock(x).detach().chunk(3, dim=-1)
    at = "attn.qkv.updates"
    changed = []
    for part, before in (("q", q), ("v", v)):
        names = (f"{at}.{part}.rule.left", f"{at}.{part}.rule.right")
        h = update(*(own[n] for n in (*names, f"{at}.{part}.left", f"{at}.{part}.right")))
        changed.append(before + SCALE * x @ h + (own["attn.qkv.shift"] if bias else 0))
    expected = torch.cat([changed[0], k, changed[1]], dim=-1)
    out = model(x)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(model.attn["qkv"].merged()(x), expected, rtol=0, atol=1e-12)
    upstream = torch.randn_like(out)
    out.backward(upstream)
    expected.backward(upstream)
    for name, parameter in hydra_peft.trainable_parameters(model).adapter.items():
        torch.testing.assert_close(parameter.grad, own[name].grad, rtol=0, atol=1e-10)


def test_separate_layers_share_rules_by_kind_and_a_bias_in_each_attention() -> None:
    stock = Separate().double()
    model = copy.deepcopy(stock)
    targets = ["query", "value"]
    options = {"targets": targets, "parts": [], "phm_dim": PHM_DIM, "scale": SCALE}
    hydra_peft.inject(model, "kadaptation", **options)
    first, second = model.layer
    rules = [layer[kind].updates[kind].rule for kind in targets for layer in (first, second)]
    for factor in ("left", "right"):
        query, again, value, _ = (rule[factor] for rule in rules)
        assert query is again is not value
    assert first["query"].shift is first["value"].shift
    assert first["query"].shift is not second["query"].shift
    own = randomized(model)
    factors, shared = 4 * PHM_DIM * (WIDTH // PHM_DIM), 4 * PHM_DIM**2
    assert hydra_peft.count_parameters(model).adapter == 2 * (factors + WIDTH) + shared
    layer, x = second["value"], torch.randn(3, WIDTH, dtype=torch.float64)
    rule = "layer.0.value.updates.value.rule"
    at = "layer.1.value.updates.value"
    h = update(own[f"{rule}.left"], own[f"{rule}.right"], own[f"{at}.left"], own[f"{at}.right"])
    expected = stock.layer[1]["value"](x) + SCALE * x @ h + own["layer.1.query.shift"]
    torch.testing.assert_close(layer.eval()(x), expected, rtol=0, atol=1e-12)


def test_the_released_start_never_gets_a_gradient_and_ours_does() -> None:
    model = Packed().double()  # first steps are small: rules start within 0.01
    hydra_peft.inject(model, "kadaptation", phm_dim=PHM_DIM, dropout=0.0)
    trained = hydra_peft.trainable_parameters(model).adapter
    x, target = torch.randn(20, WIDTH).double(), torch.randn(20, 3 * WIDTH).double()

    def steps(count: int) -> set[str]:
        before = {name: p.detach().clone() for name, p in trained.items()}
        optimizer = torch.optim.SGD(trained.values(), lr=0.01)
        for _ in range(count):
            optimizer.zero_grad()
            (model(x) - target).square().mean().backward()
            optimizer.step()
        return {name for name, p in trained.items() if not torch.equal(p, before[name])}

    start = copy.deepcopy(model.state_dict())
    for update in model.attn["qkv"].updates.values():  # as eric-ai-lab/PEViT has it
        nn.init.zeros_(update.left)
    assert steps(20) == {"attn.qkv.shift"}
    model.load_state_dict(start)
    assert steps(2) == set(trained)


def test_dropout_acts_on_the_elements_of_the_update() -> None:
    model = Packed().double()
    hydra_peft.inject(model, "kadaptation", phm_dim=PHM_DIM, dropout=0.5, bias=False, parts=["k"])
    own = randomized(model)
    at = "attn.qkv.updates.k"
    names = ("rule.left", "rule.right", "left", "right")
    h = update(*(own[f"{at}.{name}"].detach() for name in names))
    left, right = model.attn["qkv"].updates["k"](torch.float64)
    torch.testing.assert_close(left.T @ right, h, rtol=0, atol=1e-12)
    x = torch.eye(WIDTH, dtype=torch.float64)
    found = (model.train()(x) - model.attn["qkv"].base(x))[:, WIDTH : 2 * WIDTH] / 160
    dropped = found.abs() < 1e-12
    assert 0.2 < dropped.double().mean() < 0.8
    torch.testing.assert_close(found[~dropped], 2 * h[~dropped], rtol=0, atol=1e-10)


def test_initial_values() -> None:
    model = Packed()
    hydra_peft.inject(model, "kadaptation", phm_dim=PHM_DIM)
    update = model.attn["qkv"].updates["q"]
    assert not update.right.any()
    assert update.rule["left"].abs().max() <= 0.01
    # reference: glorot uniform with gain sqrt(2) of a column of 3
    assert update.left.abs().max() <= (2 * 6 / (1 + 3)) ** 0.5
    assert update.left.abs().max() > 1
    x = torch.randn(2, WIDTH)
    torch.testing.assert_close(model(x), model.attn["qkv"].base(x), rtol=0, atol=0)


@pytest.mark.parametrize(("options", "count"), [({}, 50_176), ({"bias": False}, 40_960)])
def test_published_count(options: dict[str, Any], count: int) -> None:
    model = vit_b16()
    hydra_peft.inject(model, "kadaptation", **options)
    assert hydra_peft.count_parameters(model).adapter == count


@pytest.mark.parametrize(
    ("build", "options", "message"),
    [
        (Packed, {"phm_dim": 5}, "attn.qkv: its widths 12 and 12 are no multiples of phm_dim=5"),
        (lambda: Packed(bias=False), {"phm_dim": 4}, "set bias=false for this method"),
        (Separate, {"targets": ["query"], "phm_dim": 4}, "layer.0.query (12->12) does not compute"),
        (Packed, {"parts": ["w"]}, "parts=['w'] is not a list of some of q, k and v"),
    ],
)  # fmt: skip
def test_refusals(build: Any, options: dict[str, Any], message: str) -> None:
    model = build()
    with pytest.raises(UserError) as caught:
        hydra_peft.inject(model, "kadaptation", **options)
    assert message in str(caught.value)
    assert not any(isinstance(module, Adapter) for module in model.modules())
