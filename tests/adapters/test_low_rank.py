"""The low-rank adapted layer against the paper's formulas and the peft library."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hydra_peft.adapters.low_rank import LowRankLinear
from hydra_peft.errors import UserError


def plain_eq10(layer: LowRankLinear, x: Tensor) -> Tensor:
    """Eq. 10 with explicit matrices, extended by scale and branch biases (branch by branch)."""
    w0, b0, s = layer.base.weight, layer.base.bias, layer.scale
    h = x @ w0.T + b0
    if layer.parallel is not None:
        a = layer.parallel
        code = x @ a.down.weight.T + (0 if a.down.bias is None else a.down.bias)
        h = h + s * (code @ a.up.weight.T + (0 if a.up.bias is None else a.up.bias))
    if layer.sequential is not None:
        b = layer.sequential
        code = (x @ w0.T + b0) @ b.down.weight.T + (0 if b.down.bias is None else b.down.bias)
        h = h + s * (code @ b.up.weight.T + (0 if b.up.bias is None else b.up.bias))
    return h


def random_layer(k: int, d: int, ra: int, rb: int, scale: float, bias: bool) -> LowRankLinear:
    layer = LowRankLinear(
        nn.Linear(k, d).double(),
        rank_parallel=ra,
        rank_sequential=rb,
        scale=scale,
        bias=bias,
    )
    for _, parameter in layer.adapter_parameters():
        nn.init.normal_(parameter, std=0.3)
    return layer.eval()


@settings(max_examples=40, deadline=None)
@given(
    k=st.integers(1, 9),
    d=st.integers(1, 9),
    ra=st.integers(0, 3),
    rb=st.integers(0, 3),
    scale=st.sampled_from([0.1, 1.0, 4.5]),
    bias=st.booleans(),
    shape=st.sampled_from([(), (1,), (4,), (2, 3)]),
)
def test_forward_and_merged_equal_eq10(
    k: int, d: int, ra: int, rb: int, scale: float, bias: bool, shape: tuple[int, ...]
) -> None:
    ra, rb = min(ra, k, d), min(rb, d)
    if ra + rb == 0:
        ra = 1
    torch.manual_seed(k + 10 * d + 100 * ra + 1000 * rb)
    layer = random_layer(k, d, ra, rb, scale, bias)
    x = torch.randn(*shape, k, dtype=torch.float64)
    expected = plain_eq10(layer, x)
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(layer.merged()(x), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(
        nn.functional.linear(x, layer.weight, layer.bias), expected, rtol=0, atol=1e-12
    )


def test_merged_weight_equals_eq12_with_matrices() -> None:
    layer = random_layer(5, 7, 2, 3, 4.5, True)
    a = layer.parallel.up.weight @ layer.parallel.down.weight
    b = layer.sequential.up.weight @ layer.sequential.down.weight
    w0, b0 = layer.base.weight, layer.base.bias
    merged = layer.merged()
    torch.testing.assert_close(merged.weight, w0 + 4.5 * (a + b @ w0), rtol=0, atol=1e-13)
    constant = (
        layer.parallel.up.weight @ layer.parallel.down.bias
        + layer.parallel.up.bias
        + layer.sequential.up.weight @ (layer.sequential.down.weight @ b0)
        + layer.sequential.up.weight @ layer.sequential.down.bias
        + layer.sequential.up.bias
    )
    torch.testing.assert_close(merged.bias, b0 + 4.5 * constant, rtol=0, atol=1e-13)


def test_starts_as_the_frozen_layer() -> None:
    base = nn.Linear(6, 5)
    x = torch.randn(3, 6)
    expected = base(x)
    for init in ("gaussian", "xavier", "kaiming"):
        layer = LowRankLinear(copy.deepcopy(base), rank_parallel=2, rank_sequential=2, init=init)
        assert torch.equal(layer(x), expected)
        assert layer.parallel.down.weight.abs().sum() > 0


@pytest.mark.parametrize("init", ["gaussian", "xavier", "kaiming"])
def test_initial_spread(init: str) -> None:
    layer = LowRankLinear(nn.Linear(768, 768), rank_parallel=64, init=init)
    # Gaussian: 0.02. Xavier: sqrt(2 / (768 + 64)). Kaiming, a = sqrt(5): uniform within
    # 1 / sqrt(768), whose deviation is 1 / sqrt(3 * 768).
    expected = {"gaussian": 0.02, "xavier": (2 / 832) ** 0.5, "kaiming": (1 / 2304) ** 0.5}[init]
    assert layer.parallel.down.weight.std().item() == pytest.approx(expected, rel=0.02)


def test_one_branch_off_is_lora_or_seqlora() -> None:
    both = random_layer(6, 5, 2, 2, 2.0, True)
    x = torch.randn(4, 6, dtype=torch.float64)
    lora = LowRankLinear(copy.deepcopy(both.base), rank_parallel=2, scale=2.0).double()
    lora.parallel.load_state_dict(both.parallel.state_dict())
    seqlora = LowRankLinear(copy.deepcopy(both.base), rank_sequential=2, scale=2.0).double()
    seqlora.sequential.load_state_dict(both.sequential.state_dict())
    for parameter in (both.sequential.up.weight, both.sequential.up.bias):
        nn.init.zeros_(parameter)
    torch.testing.assert_close(both(x), lora(x), rtol=0, atol=1e-14)
    both.sequential.load_state_dict(seqlora.sequential.state_dict())
    for parameter in (both.parallel.up.weight, both.parallel.up.bias):
        nn.init.zeros_(parameter)
    torch.testing.assert_close(both(x), seqlora(x), rtol=0, atol=1e-14)


def test_sequential_branch_reads_the_frozen_output_not_the_sum() -> None:
    layer = random_layer(6, 5, 2, 2, 1.0, False)
    x = torch.randn(4, 6, dtype=torch.float64)
    features = layer.base(x)
    wrong = features + layer.parallel(x) + layer.sequential(features + layer.parallel(x))
    assert (layer(x) - wrong).abs().max() > 1e-3


@pytest.mark.parametrize("scale", [1.0, 2.0])
def test_lora_equals_the_peft_library(scale: float) -> None:
    import peft

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(10, 7)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x)

    torch.manual_seed(1)
    net = Net().double()
    ours = LowRankLinear(copy.deepcopy(net.fc), rank_parallel=3, scale=scale, bias=False)
    config = peft.LoraConfig(r=3, lora_alpha=3 * scale, target_modules=["fc"], lora_dropout=0.0)
    theirs = peft.get_peft_model(net, config, autocast_adapter_dtype=False)
    down, up = torch.randn(3, 10).double(), torch.randn(7, 3).double()
    with torch.no_grad():
        ours.parallel.down.weight.copy_(down)
        ours.parallel.up.weight.copy_(up)
        lora = theirs.base_model.model.fc
        lora.lora_A["default"].weight.copy_(down)
        lora.lora_B["default"].weight.copy_(up)
    x_ours = torch.randn(4, 5, 10).double().requires_grad_()
    x_theirs = x_ours.detach().clone().requires_grad_()
    out_ours, out_theirs = ours(x_ours), theirs(x_theirs)
    torch.testing.assert_close(out_ours, out_theirs, rtol=0, atol=1e-12)
    out_ours.square().sum().backward()
    out_theirs.square().sum().backward()
    pairs = [
        (x_ours.grad, x_theirs.grad),
        (ours.parallel.down.weight.grad, lora.lora_A["default"].weight.grad),
        (ours.parallel.up.weight.grad, lora.lora_B["default"].weight.grad),
    ]
    for mine, other in pairs:
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-10)
    theirs.merge_adapter()
    torch.testing.assert_close(ours.merged().weight, lora.weight, rtol=0, atol=1e-12)


def test_gradients_equal_those_of_the_plain_formula() -> None:
    layer = random_layer(6, 5, 2, 3, 4.5, True)
    x = torch.randn(4, 6, dtype=torch.float64)
    names, parameters = zip(*layer.adapter_parameters(), strict=True)
    ours = torch.autograd.grad(layer(x).square().sum(), parameters)
    plain = torch.autograd.grad(plain_eq10(layer, x).square().sum(), parameters)
    for name, mine, other in zip(names, ours, plain, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-12, atol=1e-12, msg=name)
    assert layer.base.weight.requires_grad is False


def test_dropout_acts_on_the_rank_r_code() -> None:
    layer = LowRankLinear(nn.Linear(4, 3), rank_parallel=2, dropout=0.5, bias=False)
    nn.init.ones_(layer.parallel.down.weight)
    # With one up-column per code feature the output shows which feature was dropped.
    layer.parallel.up.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    x = torch.ones(2000, 4)
    delta = layer.train()(x) - layer.base(x)
    values = {round(v, 3) for v in delta[:, :2].flatten().tolist()}
    assert values == {0.0, 8.0}  # dropped, or 4 / (1 - 0.5)
    torch.testing.assert_close(delta[:, 2], delta[:, 0] + delta[:, 1])
    assert 0.45 < (delta[:, 0] == 0).float().mean().item() < 0.55
    torch.testing.assert_close(
        layer.eval()(x) - layer.base(x), torch.tensor([4.0, 4, 8]).expand(2000, 3)
    )


def test_modules_that_read_the_weight_see_the_adapter() -> None:
    attention = nn.MultiheadAttention(8, 2, batch_first=True).double().eval()
    plain = copy.deepcopy(attention)
    adapter = LowRankLinear(attention.out_proj, rank_parallel=2, rank_sequential=2)
    for _, parameter in adapter.adapter_parameters():
        nn.init.normal_(parameter)
    attention.out_proj = adapter.eval()
    plain.out_proj = adapter.merged()
    x = torch.randn(2, 3, 8, dtype=torch.float64)
    torch.testing.assert_close(attention(x, x, x)[0], plain(x, x, x)[0])
    attention(x, x, x)[0].sum().backward()
    assert adapter.parallel.up.weight.grad.abs().sum() > 0


def test_reading_the_weight_under_dropout_is_refused() -> None:
    layer = LowRankLinear(nn.Linear(4, 4), rank_parallel=2, dropout=0.1)
    assert layer.weight.dtype == torch.float32
    with pytest.raises(UserError, match=r"of an adapted layer instead .*dropout=0"):
        _ = layer.weight @ torch.ones(4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "both ranks are 0"),
        ({"rank_parallel": -1}, "must lie between 1 and 3"),
        ({"rank_parallel": 4}, "must lie between 1 and 3"),
        ({"rank_sequential": 4}, "must lie between 1 and 3"),
        ({"rank_parallel": 1, "dropout": 1.0}, r"must lie in \[0, 1\)"),
        ({"rank_parallel": 1, "init": "gausian"}, "did you mean 'gaussian'"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        LowRankLinear(nn.Linear(5, 3), **options)


def test_branch_biases_need_a_bias_to_merge_into() -> None:
    with pytest.raises(UserError, match="bias=False"):
        LowRankLinear(nn.Linear(4, 4, bias=False), rank_parallel=1)
    layer = LowRankLinear(
        nn.Linear(4, 4, bias=False), rank_parallel=1, rank_sequential=1, bias=False
    )
    assert layer.merged().bias is None


def test_branches_follow_dtype_and_work_in_bf16() -> None:
    layer = LowRankLinear(nn.Linear(8, 8).bfloat16(), rank_parallel=2, rank_sequential=2)
    assert {p.dtype for p in layer.parameters()} == {torch.bfloat16}
    assert layer(torch.randn(3, 8).bfloat16()).dtype == torch.bfloat16
    assert layer.merged().weight.dtype == torch.bfloat16


@pytest.mark.parametrize(
    "options",
    [
        {"rank_parallel": 2},
        {"rank_sequential": 2, "bias": False},
        {"rank_parallel": 2, "rank_sequential": 3},
        {"rank_parallel": 2, "init": "pissa"},
        {"rank_parallel": 2, "parts": ["q", "v"]},
        {"rank_parallel": 2, "dropout": 0.1, "dropout_at": "input"},
    ],
)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_wider_branches_on_a_narrower_layer(options: dict[str, object], dtype: torch.dtype) -> None:
    """As peft trains: fused or not the branches are of float32, the output of the layer's dtype."""
    torch.manual_seed(0)
    layer = LowRankLinear(nn.Linear(6, 12).to(dtype), **options)
    for name, parameter in layer.adapter_parameters():
        parameter.data = torch.randn_like(parameter.float()) * (0.1 if "first" in name else 0.3)
    x = torch.randn(5, 6, dtype=dtype)
    wide = copy.deepcopy(layer).double().eval()
    expected = wide.three_branches(x.double())
    assert layer.train()(x).dtype == dtype
    layer.eval()
    traced = torch.jit.trace(layer, x, check_trace=False)
    for out in (layer(x), layer.three_branches(x), traced(x)):
        assert out.dtype == dtype
        torch.testing.assert_close(out.double(), expected, rtol=0.03, atol=0.03)
    layer.three_branches(x).float().sum().backward()
    assert all(p.grad is not None for _, p in layer.adapter_parameters() if p.requires_grad)
