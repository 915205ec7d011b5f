"""DoRA against the peft library and the paper's formula."""

from __future__ import annotations

import copy

import pytest
import torch
from lazy_peft import peft
from stock_vit import vit_b16
from torch import Tensor, nn

import hydra_peft
from hydra_peft import UserError
from hydra_peft.adapters.dora import DoraLinear


class Net(nn.Module):
    def __init__(self, *, bias: bool = True) -> None:
        super().__init__()
        self.fc = nn.Linear(9, 7, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_forward_gradients_and_merge_are_those_of_peft(bias: bool, training: bool) -> None:
    net = Net(bias=bias).double()
    config = peft.LoraConfig(
        r=3, lora_alpha=6, target_modules=["fc"], use_dora=True, lora_dropout=0.4
    )
    theirs = peft.get_peft_model(copy.deepcopy(net), config, autocast_adapter_dtype=False)
    ours = DoraLinear(copy.deepcopy(net.fc), rank=3, scale=2.0, dropout=0.4)
    layer = theirs.base_model.model.fc
    pairs = [
        (ours.down, layer.lora_A["default"].weight),
        (ours.up, layer.lora_B["default"].weight),
        (ours.magnitude, layer.lora_magnitude_vector["default"].weight),
    ]
    torch.testing.assert_close(ours.magnitude, pairs[2][1], rtol=0, atol=1e-12)
    with torch.no_grad():
        for own, its in pairs:
            own.add_(torch.randn_like(own) * 0.3)
            its.copy_(own)
    x = torch.randn(4, 5, 9, dtype=torch.float64)
    xs = [x.clone().requires_grad_(), x.clone().requires_grad_()]
    outs = []
    for model, own_x in zip((ours, theirs), xs, strict=True):
        model.train(training)
        torch.manual_seed(5)
        outs.append(model(own_x))
        outs[-1].square().sum().backward()
    torch.testing.assert_close(*outs, rtol=0, atol=1e-12)
    torch.testing.assert_close(xs[0].grad, xs[1].grad, rtol=0, atol=1e-10)
    for own, its in pairs:
        torch.testing.assert_close(own.grad, its.grad, rtol=0, atol=1e-10)
    theirs.merge_adapter()
    torch.testing.assert_close(ours.merged().weight, layer.weight, rtol=0, atol=1e-12)
    torch.testing.assert_close(ours.eval()(x), ours.merged()(x), rtol=0, atol=1e-12)


def test_it_starts_as_the_frozen_layer_and_the_norm_is_a_constant() -> None:
    base = nn.Linear(6, 4).double()
    layer = DoraLinear(copy.deepcopy(base), rank=2, scale=0.5)
    x = torch.randn(3, 6, dtype=torch.float64)
    torch.testing.assert_close(layer(x), base(x), rtol=0, atol=1e-14)
    nn.init.normal_(layer.up)
    # arXiv 2402.09353, eq. 5 and section 4.3: columns of W there are rows of torch's weight
    down, up, m = (
        t.detach().clone().requires_grad_() for t in (layer.down, layer.up, layer.magnitude)
    )
    directed = base.weight.detach() + 0.5 * up @ down
    lengths = directed.norm(dim=1, keepdim=True).detach()
    expected = x @ (m[:, None] * directed / lengths).T + base.bias.detach()
    out = layer(x)
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)
    upstream = torch.randn_like(out)
    out.backward(upstream)
    expected.backward(upstream)
    for own, other in ((layer.down, down), (layer.up, up), (layer.magnitude, m)):
        torch.testing.assert_close(own.grad, other.grad, rtol=0, atol=1e-12)


def test_a_row_of_zeros_stays_one() -> None:
    base = nn.Linear(3, 2)
    with torch.no_grad():
        base.weight[0] = 0
    layer = DoraLinear(base, rank=1)
    out = layer(torch.randn(2, 3))
    out.sum().backward()
    assert torch.equal(out[:, 0], base.bias[0].expand(2))
    assert all(p.grad.isfinite().all() for p in (layer.up, layer.magnitude))


def test_count() -> None:
    model = vit_b16()
    hydra_peft.inject(model, "dora", targets=["attn.qkv"], rank=8)
    # reference: LoRA of rank 8 on packed qkv, and a length for each of its rows
    assert hydra_peft.count_parameters(model).adapter == 294_912 + 12 * 2304


def test_refusals() -> None:
    with pytest.raises(UserError, match="fc: rank 8 of the parallel branch does not fit"):
        hydra_peft.inject(Net(), "dora", head=(), targets=["fc"], rank=8)
    with pytest.raises(UserError, match="init=pissa is not allowed: it must be one of"):
        hydra_peft.inject(Net(), "dora", init="pissa")
