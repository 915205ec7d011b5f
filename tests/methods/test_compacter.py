"""Compacter against plain Kronecker products, and the published count."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from plain_block import block, norm, own_weights, scaled_block
from stock_vit import vit_b16
from torch import Tensor, nn

import hydra_peft
from hydra_peft import UserError
from hydra_peft.adapters.phm import PhmBottleneck, PhmLinear
from hydra_peft.methods import build_method
from hydra_peft.methods.compacter import Compacter

Fill = Callable[[nn.Module], None]
ELEVATER = {"position": "intermediate", "rank": 64, "rule": "frozen", "norm": True}


def kronecker(left: Tensor, right: Tensor, rule: Tensor) -> Tensor:
    """H, ``[in, out]``, as the sum of ``torch.kron``."""
    factors = zip(rule, left, right, strict=True)
    return sum(torch.kron(s, u[:, None] @ v[None, :]) for s, u, v in factors)  # type: ignore[return-value]


def branches(model: nn.Module) -> list[PhmBottleneck]:
    return [module for module in model.modules() if isinstance(module, PhmBottleneck)]


@pytest.mark.parametrize("count", [1, 2, 4])
def test_a_layer_is_a_sum_of_kronecker_products(count: int) -> None:
    rule = nn.Parameter(torch.randn(count, count, count, dtype=torch.float64))
    layer = PhmLinear(12, 8, rule)
    nn.init.normal_(layer.bias)
    own = own_weights(layer)
    x = torch.randn(2, 5, 12, dtype=torch.float64, requires_grad=True)
    twin = x.detach().clone().requires_grad_()
    out = layer(x)
    expected = twin @ kronecker(own["left"], own["right"], own["rule"]) + own["bias"]
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)
    factor = torch.randn_like(out)
    (out * factor).sum().backward()
    (expected * factor).sum().backward()
    torch.testing.assert_close(x.grad, twin.grad, rtol=0, atol=1e-12)
    for name, parameter in layer.named_parameters():
        torch.testing.assert_close(parameter.grad, own[name].grad, rtol=0, atol=1e-12)


@pytest.mark.parametrize("options", [{"rank": 4}, {**ELEVATER, "rank": 8}])
def test_a_block_computes_the_formula(options: dict[str, object], randomize: Fill) -> None:
    fresh = scaled_block()
    model = copy.deepcopy(fresh)
    hydra_peft.inject(model, "compacter", head=(), **options)
    randomize(model)
    found = branches(model)
    rule = found[0].down.rule.detach()

    def plain(branch: PhmBottleneck) -> Callable[[Tensor], Tensor]:
        own = {n: p.detach() for n, p in branch.named_parameters()}

        def compute(x: Tensor) -> Tensor:
            x = norm(own, "norm", x, 1e-5) if "norm.weight" in own else x
            x = x @ kronecker(own["down.left"], own["down.right"], rule) + own["down.bias"]
            x = nn.functional.gelu(x, approximate="tanh")
            return x @ kronecker(own["up.left"], own["up.right"], rule) + own["up.bias"]

        return compute

    x = torch.randn(2, 5, 12, dtype=torch.float64)
    first = plain(found[0]) if len(found) == 2 else None
    position = "houlsby" if first else "intermediate"
    weights = dict(fresh[0].named_parameters())
    expected = block(weights, x, position, plain(found[-1]), first)
    torch.testing.assert_close(model(x), expected, rtol=0, atol=1e-12)


def test_one_rule_for_all_layers_which_is_saved_once(tmp_path: Path, randomize: Fill) -> None:
    from safetensors.torch import load_file
    from stock_vit import images, small_vit

    for rule, trains in (("trained", True), ("frozen", False)):
        model = small_vit()
        hydra_peft.inject(model, "compacter", rank=8, rule=rule)
        randomize(model)
        layers = [module for module in model.modules() if isinstance(module, PhmLinear)]
        assert len(layers) == 8
        assert all(layer.rule is layers[0].rule for layer in layers)
        assert layers[0].rule.requires_grad is trains
        hydra_peft.save_adapter(model, tmp_path / rule)
        names = load_file(tmp_path / rule / "adapter.safetensors")
        assert [n for n in names if n.endswith("rule")] == ["blocks.0.drop_path1.branch.down.rule"]
        fresh = small_vit()
        hydra_peft.load_adapter(fresh, tmp_path / rule)
        torch.testing.assert_close(fresh(images()), model.eval()(images()), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 24 * (4 * 192 + 4 * 6 + 24 + 4 * 6 + 4 * 192 + 768) + 64),
        (ELEVATER, 48_384),
        ({**ELEVATER, "rule": "trained"}, 48_384 + 64),
    ],
)
def test_counts(options: dict[str, object], count: int) -> None:
    model = vit_b16()
    hydra_peft.inject(model, "compacter", **options)
    assert hydra_peft.count_parameters(model).adapter == count


def test_the_variant_is_elevaters(compose_train: Callable[..., object]) -> None:
    from hydra_peft.config.check import check_config

    method = check_config(compose_train("method=compacter_elevater")).method
    assert method == Compacter(**ELEVATER)  # type: ignore[arg-type]


def test_how_the_factors_start() -> None:
    for rule, most, deviation in (("trained", 0.06, 0.01), ("frozen", 1.0, 3**-0.5)):
        method = build_method("compacter", rule=rule, phm_dim=16, rank=16)
        values = method._draw_rule(torch.empty(1)).detach()  # type: ignore[attr-defined]
        assert values.shape == (16, 16, 16)
        assert values.abs().max() <= most
        assert values.std().item() == pytest.approx(deviation, rel=0.05)
    layer = PhmLinear(8000, 4, nn.Parameter(torch.zeros(4, 4, 4)))
    bound = (2 * 6 / 2001) ** 0.5
    assert layer.left.abs().max() <= bound
    assert layer.left.std().item() == pytest.approx(bound / 3**0.5, rel=0.03)
    assert layer.right.abs().max() <= 6**0.5


def test_widths_that_do_not_divide_are_refused() -> None:
    with pytest.raises(UserError, match=r"rank=6 .*is no multiple of phm_dim=4"):
        build_method("compacter", rank=6)
    model = scaled_block()
    keys = list(model.state_dict())
    with pytest.raises(UserError, match=r"0: its width 12 is no multiple of method.phm_dim=8"):
        hydra_peft.inject(model, "compacter", head=(), phm_dim=8)
    assert list(model.state_dict()) == keys
    with pytest.raises(
        UserError, match=r"rule=learned is not allowed: it must be one of trained, frozen"
    ):
        build_method("compacter", rule="learned")
