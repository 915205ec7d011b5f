"""VeRA against the peft library and the paper's formula."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from lazy_peft import peft
from safetensors.torch import load_file
from stock_vit import vit_b16
from torch import Tensor, nn

import hydra_peft
from hydra_peft.errors import UserError


class Net(nn.Module):
    """Two layers of different sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down = nn.Linear(6, 10), nn.Linear(10, 5)
        self.head = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.down(torch.relu(self.up(x))))


@pytest.mark.parametrize("training", [False, True])
def test_forward_gradients_and_merge_are_those_of_peft(training: bool) -> None:
    net = Net().double()
    ours = copy.deepcopy(net)
    hydra_peft.inject(ours, "vera", targets=["up", "down"], rank=4, start=0.2, dropout=0.3)
    config = peft.VeraConfig(r=4, target_modules=["up", "down"], d_initial=0.2, vera_dropout=0.3)
    theirs = peft.get_peft_model(copy.deepcopy(net), config, autocast_adapter_dtype=False)
    theirs = theirs.double()
    base = theirs.base_model
    assert base.vera_A["default"].shape == ours.up.down.shape == (4, 10)
    assert base.vera_B["default"].shape == ours.up.up.shape == (10, 4)
    vectors = []
    with torch.no_grad():
        base.vera_A["default"].copy_(ours.up.down)
        base.vera_B["default"].copy_(ours.up.up)
        for name in ("up", "down"):
            own, its = getattr(ours, name), getattr(base.model, name)
            vectors += [
                (own.down_scale, its.vera_lambda_d["default"]),
                (own.up_scale, its.vera_lambda_b["default"]),
            ]
        for own, its in vectors:
            torch.testing.assert_close(own, its, rtol=0, atol=1e-7)  # peft's are float32 at first
            own.add_(torch.randn_like(own) * 0.3)
            its.copy_(own)
    x = torch.randn(7, 6, dtype=torch.float64)
    outs = []
    for model in (ours, theirs):
        model.train(training)
        torch.manual_seed(5)
        outs.append(model(x))
        outs[-1].square().sum().backward()
    torch.testing.assert_close(*outs, rtol=0, atol=1e-12)
    for own, its in vectors:
        torch.testing.assert_close(own.grad, its.grad, rtol=0, atol=1e-10)
    theirs.merge_adapter()
    for name in ("up", "down"):
        merged, its = getattr(ours, name).merged().weight, getattr(base.model, name).weight
        torch.testing.assert_close(merged, its, rtol=0, atol=1e-12)


def test_random_factors_are_shared_frozen_and_saved_once(tmp_path: Path) -> None:
    net = Net()
    ours = copy.deepcopy(net)
    hydra_peft.inject(ours, "vera", targets=["up", "down"], rank=300)
    x = torch.randn(3, 6)
    torch.testing.assert_close(ours(x), net(x), rtol=0, atol=0)  # b = 0
    assert ours.up.down is ours.down.down
    # Kaiming uniform: within sqrt(6 / fan in), whose deviation is sqrt(2 / fan in)
    assert ours.up.down.std().item() == pytest.approx((2 / 10) ** 0.5, rel=0.05)
    assert ours.up.up.std().item() == pytest.approx((2 / 300) ** 0.5, rel=0.05)
    assert hydra_peft.count_parameters(ours).adapter == 2 * 300 + 10 + 5
    nn.init.normal_(ours.down.up_scale)
    hydra_peft.save_adapter(ours, tmp_path)
    saved = load_file(tmp_path / "adapter.safetensors")
    assert {"up.down", "up.up"} < set(saved)
    assert not {"down.down", "down.up"} & set(saved)
    torch.manual_seed(99)  # other factors are drawn, and replaced
    fresh = copy.deepcopy(net)
    hydra_peft.load_adapter(fresh, tmp_path)
    assert torch.equal(fresh(x), ours(x))


def test_random_factors_that_came_apart_are_refused(tmp_path: Path) -> None:
    with torch.device("meta"):
        net = Net()
    hydra_peft.inject(net, "vera", targets=["up", "down"], rank=4)
    net.load_state_dict({n: torch.zeros(t.shape) for n, t in net.state_dict().items()}, assign=True)
    for act in (hydra_peft.count_parameters, lambda net: hydra_peft.save_adapter(net, tmp_path)):
        with pytest.raises(UserError, match=r"'up\.down' and 'down\.down' were one parameter"):
            act(net)


def test_count() -> None:
    model = vit_b16()
    hydra_peft.inject(model, "vera", targets=["attn.qkv"])
    assert hydra_peft.count_parameters(model).adapter == 12 * (256 + 2304)
