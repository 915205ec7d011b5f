"""Variants of LoRA against the peft library, plain formulas and published counts."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lazy_peft import peft
from safetensors.torch import load_file, save_file
from stock_vit import small_vit, vit_b16
from timm.models import tiny_vit
from torch import Tensor, nn
from torch.nn import functional as F

import hydra_peft
from hydra_peft import UserError
from hydra_peft.adapters.low_rank import LowRankLinear
from hydra_peft.config.check import check_config
from hydra_peft.methods import build_method

WIDTH = 12


class Attention(nn.Module):
    """A packed layer as timm names it, one for queries and one for values as BERT has them."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)
        self.query, self.value = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        return torch.tanh(q * k) + v + self.query(x) * self.value(x)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attn, self.head = Attention(), nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.attn(x))


@pytest.fixture
def net() -> Net:
    return Net().double().eval()


def with_peft(net: Net, dtype: torch.dtype = torch.float64, **options: Any) -> Any:
    config = peft.LoraConfig(target_modules=["query", "value"], **options)
    return peft.get_peft_model(copy.deepcopy(net).to(dtype), config, autocast_adapter_dtype=False)


def copy_weights(ours: nn.Module, theirs: Any) -> None:
    """Give both the same factors, as after training."""
    for name in ("query", "value"):
        branch = getattr(ours.attn, name).parallel
        other = getattr(theirs.base_model.model.attn, name)
        with torch.no_grad():
            for own, its in ((branch.down, other.lora_A), (branch.up, other.lora_B)):
                own.weight.add_(torch.randn_like(own.weight) * 0.2)
                its["default"].weight.copy_(own.weight)


def compare(ours: nn.Module, theirs: Any, *, training: bool = False, atol: float = 1e-12) -> None:
    """Compare outputs, gradients and merged weights."""
    x = torch.randn(4, 5, WIDTH).to(next(ours.parameters()).dtype)
    ours.train(training), theirs.train(training)
    for model in (ours, theirs):
        torch.manual_seed(3)  # of dropout
        model.output = model(x)
        model.output.square().sum().backward()
    torch.testing.assert_close(ours.output, theirs.output, rtol=0, atol=atol)
    for name in ("query", "value"):
        branch = getattr(ours.attn, name).parallel
        other = getattr(theirs.base_model.model.attn, name)
        for own, its in ((branch.down, other.lora_A), (branch.up, other.lora_B)):
            grad = its["default"].weight.grad
            torch.testing.assert_close(own.weight.grad, grad, rtol=1e3 * atol, atol=1e3 * atol)
    theirs.merge_adapter()
    for name in ("query", "value"):
        merged = getattr(ours.attn, name).merged().weight
        its = getattr(theirs.base_model.model.attn, name).weight
        torch.testing.assert_close(merged, its, rtol=0, atol=atol)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("rank_scale", ["alpha_over_r", "alpha_over_sqrt_r"])
def test_dropout_at_the_input_and_scales_by_rank_are_those_of_peft(
    net: Net, rank_scale: str, training: bool
) -> None:
    ours = copy.deepcopy(net)
    options = {"rank": 3, "scale": 16.0, "dropout": 0.4, "bias": False, "init": "kaiming"}
    targets = ["query", "value"]
    at = {"dropout_at": "input", "rank_scale": rank_scale}
    hydra_peft.inject(ours, "lora", targets=targets, **options, **at)
    rslora = rank_scale == "alpha_over_sqrt_r"
    theirs = with_peft(net, r=3, lora_alpha=16, lora_dropout=0.4, use_rslora=rslora)
    copy_weights(ours, theirs)
    compare(ours, theirs, training=training)


def test_pissa_is_that_of_peft(net: Net, tmp_path: Path) -> None:
    net = net.float()
    ours = copy.deepcopy(net)
    options = {"rank": 3, "scale": 2.0, "bias": False, "init": "pissa"}
    hydra_peft.inject(ours, "lora", targets=["query", "value"], **options)
    theirs = with_peft(net, torch.float32, r=3, lora_alpha=6, init_lora_weights="pissa")
    for name in ("query", "value"):
        branch = getattr(ours.attn, name).parallel
        other = getattr(theirs.base_model.model.attn, name)
        for own, its in ((branch.down, other.lora_A), (branch.up, other.lora_B)):
            torch.testing.assert_close(own.weight, its["default"].weight, rtol=0, atol=1e-6)
    x = torch.randn(4, WIDTH)
    torch.testing.assert_close(ours(x), net(x), rtol=0, atol=1e-5)  # nothing is trained yet
    first = copy.deepcopy(ours.attn.query.parallel.state_dict())
    nn.init.normal_(ours.attn.query.parallel.down.weight)
    ours.attn.query.parallel.reset_parameters()
    assert all(torch.equal(t, first[n]) for n, t in ours.attn.query.parallel.state_dict().items())
    copy_weights(ours, theirs)
    compare(ours, theirs, atol=1e-5)
    # The frozen weight is the stock one, so the adapter goes onto a fresh backbone.
    assert torch.equal(ours.attn.query.base.weight, net.attn.query.weight)
    hydra_peft.save_adapter(ours, tmp_path)
    assert len(load_file(tmp_path / "adapter.safetensors")) == 2 * 4 + 2
    fresh = copy.deepcopy(net)
    hydra_peft.load_adapter(fresh, tmp_path)
    assert torch.equal(fresh(x), ours(x))
    expected = ours(x)
    hydra_peft.merge(ours)
    torch.testing.assert_close(ours(x), expected, rtol=0, atol=1e-5)
    hydra_peft.unmerge(ours)
    assert torch.equal(ours.attn.query.base.weight, net.attn.query.weight)


@pytest.mark.parametrize("parts", [["q", "v"], ["k", "q"], ["v"]])
@pytest.mark.parametrize("bias", [False, True])
def test_parts_are_rows_of_the_packed_layer(net: Net, parts: list[str], bias: bool) -> None:
    ours = copy.deepcopy(net)
    hydra_peft.inject(ours, "lora", targets=["qkv"], parts=parts, rank=2, scale=3.0, bias=bias)
    factors = {}
    for name, parameter in ours.attn.qkv.adapter_parameters():
        nn.init.normal_(parameter, std=0.3)
        factors[name] = parameter.detach().clone().requires_grad_()
    assert len(factors) == len(parts) * (4 if bias else 2)
    x = torch.randn(5, WIDTH, dtype=torch.float64)
    weight, constant = net.attn.qkv.weight.detach(), net.attn.qkv.bias.detach()
    rows = []
    for place, part in enumerate("qkv"):
        own = x @ weight[place * WIDTH : (place + 1) * WIDTH].T
        own = own + constant[place * WIDTH : (place + 1) * WIDTH]
        if part in parts:
            a, b = (factors[f"parallel.{part}.{at}.weight"] for at in ("down", "up"))
            code = x @ a.T + (factors[f"parallel.{part}.down.bias"] if bias else 0)
            own = own + 3 * (code @ b.T + (factors[f"parallel.{part}.up.bias"] if bias else 0))
        rows.append(own)
    expected = torch.cat(rows, dim=-1)
    out = ours.attn.qkv(x)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(ours.attn.qkv.merged()(x), expected, rtol=0, atol=1e-12)
    upstream = torch.randn_like(out)
    out.backward(upstream)
    expected.backward(upstream)
    for name, parameter in ours.attn.qkv.adapter_parameters():
        torch.testing.assert_close(parameter.grad, factors[name].grad, rtol=0, atol=1e-11)


@pytest.mark.parametrize("options", [{}, {"parts": ["q", "v"]}])
@pytest.mark.parametrize("init", ["kaiming", "pissa"])
def test_one_operation_and_branch_by_branch_are_the_same(
    options: dict[str, Any], init: str
) -> None:
    base = nn.Linear(6, 9).double()
    layer = LowRankLinear(base, rank_parallel=2, dropout=0.5, init=init, **options).train()
    for _, parameter in layer.adapter_parameters():
        with torch.no_grad():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    x = torch.randn(7, 6, dtype=torch.float64)
    torch.manual_seed(2)
    fused = layer(x)
    torch.manual_seed(2)
    torch.testing.assert_close(layer.three_branches(x), fused, rtol=0, atol=1e-12)
    torch.testing.assert_close(layer.eval().three_branches(x), layer(x), rtol=0, atol=1e-12)
    assert not torch.allclose(layer(x), fused)


def test_both_projections_are_drawn_where_the_upper_one_does_not_start_at_zero(net: Net) -> None:
    hydra_peft.inject(net, "lora", targets=["qkv"], init="gaussian", zero_up=False, rank=12)
    for layer in (net.attn.qkv.parallel.down, net.attn.qkv.parallel.up):
        assert layer.weight.std().item() == pytest.approx(0.02, rel=0.2)
        assert not layer.bias.any()


@pytest.mark.parametrize(
    ("options", "count"),
    # reference: NOAH's packed qkv, the same number for q and v of rank 8; PEViT's q and v of rank 4
    [
        ({"rank": 8}, 294_912),
        ({"rank": 8, "parts": ["q", "v"]}, 294_912),
        ({"rank": 4, "parts": ["q", "v"], "init": "pissa"}, 147_456),
    ],
)
def test_published_counts(options: dict[str, Any], count: int) -> None:
    model = vit_b16()
    hydra_peft.inject(model, "lora", targets=["attn.qkv"], bias=False, **options)
    assert hydra_peft.count_parameters(model).adapter == count


def test_identities_of_before_stay() -> None:
    assert build_method("lora").identity() == {
        "name": "lora",
        "targets": ["attn.proj", "mlp.fc2"],
        "scale": 1.0,
        "dropout": 0.0,
        "bias": True,
        "init": "gaussian",
        "rank_parallel": 4,
        "rank_sequential": 0,
    }
    one = build_method("lora", parts=["v", "q"], dropout_at="input").identity()
    assert one["parts"] == ["q", "v"]
    assert one["dropout_at"] == "input"
    assert build_method("lora", **{"init": "pissa", "zero_up": False}).identity() == (
        build_method("lora", init="pissa").identity()
    )


def test_an_adapter_saved_before_an_option_came_is_loaded(net: Net, tmp_path: Path) -> None:
    ours = copy.deepcopy(net)
    hydra_peft.inject(ours, "lora", targets=["qkv"])
    nn.init.normal_(ours.attn.qkv.parallel.up.weight)
    hydra_peft.save_adapter(ours, tmp_path)
    (tmp_path / "adapter.safetensors").rename(tmp_path / "kept")
    config = json.loads((tmp_path / "adapter.json").read_text())
    for option in ("parts", "dropout_at", "zero_up", "rank_scale"):
        del config["method"][option]
    (tmp_path / "adapter.json").write_text(json.dumps(config))
    save_file(
        load_file(tmp_path / "kept"),
        tmp_path / "adapter.safetensors",
        {"config": json.dumps(config)},
    )
    fresh = copy.deepcopy(net)
    hydra_peft.load_adapter(fresh, tmp_path)
    x = torch.randn(2, WIDTH, dtype=torch.float64)
    assert torch.equal(fresh(x), ours(x))
    method = build_method("lora", targets=["qkv"], parts=["q"])
    with pytest.raises(UserError, match=r"saved with parts=\[\]"):
        hydra_peft.load_adapter(copy.deepcopy(net), tmp_path, method=method)


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("lora", {"targets": ["query"], "parts": ["q"]}, "attn.query (12->12) does not compute qu"),
        ("lora", {"targets": ["query"], "parts": ["q"]}, "such as one of texts with targets=[quer"),
        ("lora", {"parts": ["q", "x"]}, "parts=['q', 'x'] is not a list of some of q, k and v"),
        ("lora", {"parts": ["q", "q"]}, "parts=['q', 'q'] is not a list of some of q, k and v"),
        ("lora", {"targets": ["qkv"], "parts": ["q"], "rank": 13}, "must lie between 1 and 12"),
        ("lora", {"dropout_at": "inputs"}, "dropout_at=inputs is not allowed: it must be one of"),
        ("lora", {"rank_scale": "r"}, "it must be one of none, alpha_over_r, alpha_over_sqrt_r"),
        ("lora", {"init": "pissa", "scale": -1.0}, "scale=-1.0 is not allowed with init=pissa"),
        ("lora", {"targets": ["query"], "init": "pissa"}, "query: its weight holds values th"),
        ("hydra", {"init": "pissa"}, "init=pissa is not allowed: it must be one of gaussian"),
        ("hydra", {"parts": ["q"]}, "method 'hydra' has no option 'parts'"),
        ("hydra", {"rank_parallel": 4, "rank_scale": "alpha_over_r"}, "the branches have 2 and 4"),
    ],
)  # fmt: skip
def test_refusals(net: Net, method: str, options: dict[str, Any], message: str) -> None:
    net.attn.query.weight.data[1, 2] = torch.nan
    with pytest.raises(UserError) as caught:
        hydra_peft.inject(net, method, **options)
    assert message in str(caught.value)
    assert not any(isinstance(module, LowRankLinear) for module in net.modules())


def test_layers_with_other_rows_are_refused() -> None:
    model = nn.ModuleDict({"attn": tiny_vit.Attention(12, 4, num_heads=3, resolution=(2, 2))})
    with pytest.raises(UserError, match="of each head side by side in a Attention"):
        hydra_peft.inject(model, "lora", targets=["attn.qkv"], parts=["q"])


def test_scale_by_rank_is_that_of_the_branch() -> None:
    net = nn.Sequential(nn.Linear(8, 8))
    for method, rank_scale, expected in (
        ("lora", "alpha_over_r", 2.0),
        ("seqlora", "alpha_over_sqrt_r", 4.0),
        ("hydra", "alpha_over_r", 2.0),
        ("hydra", "none", 8.0),
    ):
        model = copy.deepcopy(net)
        hydra_peft.inject(model, method, targets=["0"], rank=4, scale=8.0, rank_scale=rank_scale)
        assert model[0].scale == expected


def test_dropout_at_the_input_of_both_branches() -> None:
    layer = LowRankLinear(nn.Linear(5, 5), rank_parallel=2, rank_sequential=2, dropout=0.5)
    twin = copy.deepcopy(layer)
    for part in (twin, twin.parallel, twin.sequential):
        part.dropout_at = "input"
    nn.init.normal_(layer.sequential.up.weight)
    twin.load_state_dict(layer.state_dict())
    x = torch.randn(6, 5)
    torch.manual_seed(1)
    found = twin.train()(x)
    torch.manual_seed(1)
    twin.parallel.dropout(x)
    features = twin.base(x)
    read = F.dropout(features, 0.5)
    expected = features + read @ twin.sequential.down.weight.T @ twin.sequential.up.weight.T
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_the_variant_of_noahs_row(compose_train: Callable[..., object]) -> None:
    method = check_config(compose_train("method=lora_qkv")).method
    model = vit_b16()
    hydra_peft.inject(model, method)
    assert hydra_peft.count_parameters(model).adapter == 294_912
    small = small_vit(classes=0)
    hydra_peft.inject(small, method)
    up = small.blocks[0].attn.qkv.parallel.up.weight
    # reference: methods.md 2.2 (ii), where the released code's up-projection has 0.0199
    assert up.std().item() == pytest.approx(0.02, rel=0.15)
