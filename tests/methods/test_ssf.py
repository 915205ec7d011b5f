"""SSF against its formula, on a ViT, a Swin transformer and a ConvNeXt."""

from __future__ import annotations

import copy
from typing import Any

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
    if name.startswith("swin"):  # its downsampling has no bias
        with pytest.raises(NotMergeable, match="Linear without bias has no place"):
            hydra_peft.merge(model)
        return
    expected = model(x)
    hydra_peft.merge(model)
    assert list(model.state_dict()) == keys
    torch.testing.assert_close(model(x), expected, rtol=0, atol=1e-10)


def standardised() -> nn.Module:
    """A network that no weights make up for the scales of."""
    parts = timm.layers.ScaledStdConv2d(3, 4, 3), timm.layers.BatchNormAct2d(4), nn.Conv2d(4, 4, 3)
    return nn.Sequential(*parts)


SMALL: dict[str, Any] = {"img_size": 32, "depth": 1, "embed_dim": 24, "num_heads": 2}


@pytest.mark.parametrize(
    ("name", "sizes", "told", "merges"),
    [
        # its attention reads the weight of qkv, which has no bias
        (
            "beit_base_patch16_224",
            SMALL,
            "such as 'blocks.0.attn.qkv': a Linear without bias",
            True,
        ),
        (
            "resnet18",
            {"zero_init_last": False},
            "20 of 40 layers, such as 'conv1': a Conv2d without",
            True,
        ),
        ("", {}, "2 of 3 layers, such as '0': a timm.layers.std_conv.ScaledStdConv2d comp", False),
    ],
)
def test_what_could_not_be_merged_is_told_at_inject(
    name: str, sizes: dict[str, Any], told: str, merges: bool, caplog: pytest.LogCaptureFixture
) -> None:
    model = timm.create_model(name, num_classes=3, **sizes) if name else standardised()
    model = model.double().eval()
    other = copy.deepcopy(model)
    hydra_peft.inject(model, "ssf")
    assert told in caplog.text
    assert ("set shift=biased" in caplog.text) == merges
    with pytest.raises(NotMergeable):
        hydra_peft.merge(model)
    caplog.clear()
    hydra_peft.inject(other, "ssf", shift="biased")
    assert ("could not be merged" in caplog.text) != merges
    x = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    expected = other(x)
    expected.square().sum().backward()
    assert all(p.grad.any() for p in hydra_peft.trainable_parameters(other))
    if merges:
        hydra_peft.merge(other)
        torch.testing.assert_close(other(x), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.GroupNorm(1, 5), (4, 5)),
        (nn.GroupNorm(2, 8), (8, 8, 5)),
        (nn.LayerNorm((5, 5)), (3, 5, 5)),
        (nn.LayerNorm((8, 5)), (3, 8, 5)),
        (nn.BatchNorm1d(5), (4, 5)),
        (nn.BatchNorm1d(5), (5, 5, 5)),
        (nn.Conv2d(3, 4, 2), (3, 4, 4)),  # without a batch
    ],
)
def test_channels_where_a_layer_has_them(layer: nn.Module, shape: tuple[int, ...]) -> None:
    model = nn.Sequential(copy.deepcopy(layer)).double().eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(shape, dtype=torch.float64)
    before = model(x)
    hydra_peft.inject(model, "ssf", head=(), targets=["0"])
    expected = model(x)
    assert expected.shape == before.shape
    hydra_peft.merge(model)
    torch.testing.assert_close(model(x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("method", ["ssf", "lora"])
def test_quantised_weights_are_refused(method: str) -> None:
    model = nn.Sequential(nn.Linear(8, 8).to(torch.float8_e4m3fn), nn.Linear(8, 2))
    with pytest.raises(UserError, match=r"0: a Linear with a Parameter of torch.float8_e4m3fn and"):
        hydra_peft.inject(model, method, head=("1",), targets=["0"])


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


def test_synchronised_batch_norms_are_scaled_as_others() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    made = []
    for net in (model, nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(model))):
        torch.manual_seed(0)
        hydra_peft.inject(net, "ssf", head="3")
        net.eval()
        before = net(torch.ones(2, 3, 1, 1))
        assert hydra_peft.merge(net) == ["0", "1"]
        torch.testing.assert_close(net(torch.ones(2, 3, 1, 1)), before)
        made.append(before)
    torch.testing.assert_close(*made)
