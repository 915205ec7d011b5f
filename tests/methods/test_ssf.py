"""SSF against its formula, on a ViT, a Swin transformer and a ConvNeXt."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
from stock_vit import images, small_vit, vit_b16
from torch import Tensor, nn
from torch.func import functional_call

import hydra_peft
from hydra_peft import UserError
from hydra_peft.adapters.base import NotMergeable
from hydra_peft.adapters.scale_shift import ScaleShift

SWIN = {"img_size": 28, "window_size": 7, "embed_dim": 16}
SITES = ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")


def test_counts_of_vit_b16() -> None:
    model = vit_b16()
    done = hydra_peft.inject(model, "ssf")
    sites = [f"blocks.{i}.{site}" for i in range(12) for site in SITES]
    assert sorted(done.layers) == sorted(["patch_embed.proj", *sites, "norm"])
    assert hydra_peft.count_parameters(model).adapter == 205_824


def test_start(tiny: nn.Module) -> None:
    wide = nn.Sequential(nn.Linear(4, 20_000))
    hydra_peft.inject(wide, "ssf", head=())
    gamma, beta = wide[0].gamma.detach(), wide[0].beta.detach()
    assert abs(float(gamma.mean()) - 1) < 1e-3
    assert abs(float(beta.mean())) < 1e-3
    for spread in (gamma.std(), beta.std()):
        assert abs(float(spread) - 0.02) < 1e-3
    hydra_peft.inject(tiny, "ssf")
    assert not isinstance(tiny.head, ScaleShift)


def scaled(fresh: nn.Module, pairs: dict[str, tuple[Tensor, Tensor]], x: Tensor) -> Tensor:
    """Compute the formula by weights: diag(gamma) W and gamma b + beta."""
    weights = {}
    for name, (gamma, beta) in pairs.items():
        layer = fresh.get_submodule(name)
        weight = layer.weight.detach()
        weights[f"{name}.weight"] = gamma.view(-1, *(1,) * (weight.dim() - 1)) * weight
        weights[f"{name}.bias"] = gamma * layer.bias.detach() + beta
    return functional_call(fresh, weights, x)


def test_outputs_and_gradients_are_the_formulas() -> None:
    fresh = small_vit().double()
    model = copy.deepcopy(fresh)
    done = hydra_peft.inject(model, "ssf")
    pairs = {}
    for name in done.layers:
        adapter = model.get_submodule(name)
        own = (adapter.gamma, adapter.beta)
        pairs[name] = tuple(p.detach().clone().requires_grad_() for p in own)
    x = images(dtype=torch.float64)
    outputs = model(x), scaled(fresh, pairs, x)
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-12)
    for output in outputs:
        output.pow(2).sum().backward()
    for name, (gamma, beta) in pairs.items():
        adapter = model.get_submodule(name)
        torch.testing.assert_close(adapter.gamma.grad, gamma.grad, rtol=1e-9, atol=1e-10)
        torch.testing.assert_close(adapter.beta.grad, beta.grad, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("swin_tiny_patch4_window7_224", {**SWIN, "depths": (1, 1), "num_heads": (2, 2)}),
        ("convnext_tiny", {"depths": (1, 1, 1, 1), "dims": (8, 8, 8, 8)}),
        ("mixer_s32_224", {"img_size": 32}),
    ],
)  # fmt: skip
def test_other_architectures_merge_exactly(name: str, sizes: dict[str, object]) -> None:
    model = timm.create_model(name, num_classes=3, **sizes).double().eval()
    keys = list(model.state_dict())
    hydra_peft.inject(model, "ssf")
    x = torch.randn(2, 3, *(2 * (sizes.get("img_size", 32),)), dtype=torch.float64)
    if name.startswith("swin"):
        with pytest.raises(NotMergeable, match="Linear without bias has no place"):
            hydra_peft.merge(model)  # its downsampling has no bias
        return
    expected = model(x)
    hydra_peft.merge(model)
    assert list(model.state_dict()) == keys
    torch.testing.assert_close(model(x), expected, rtol=0, atol=1e-10)


def test_modules_that_read_the_weight_see_it_too(tiny: nn.Module) -> None:
    hydra_peft.inject(tiny, "ssf", targets=["attn.proj"])
    layer = tiny.blocks[0]["attn"]["proj"]
    x = torch.randn(5, 12)
    found = nn.functional.linear(x, layer.weight, layer.bias)
    torch.testing.assert_close(found, layer(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (["blocks"], "blocks: a ModuleList is scaled and shifted by no weights"),
        (["attn.prj"], "'attn.prj' matches no module of TinyNet; near names"),
    ],
)
def test_refusals_change_nothing(tiny: nn.Module, targets: list[str], message: str) -> None:
    before = str(tiny)
    with pytest.raises(UserError, match=message):
        hydra_peft.inject(tiny, "ssf", targets=targets)
    assert str(tiny) == before
