"""(IA)3 against the peft library, on the same factors; what it scales, counts and refuses."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
from lazy_peft import peft
from stock_vit import images, small_vit, vit_b16
from torch import Tensor, nn
from torch.nn import functional as F

import hydra_peft
from hydra_peft import UserError
from hydra_peft.methods import build_method


def factors(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the factors of each layer by its name."""
    trained = hydra_peft.trainable_parameters(model).adapter
    return {name.removesuffix(".scale"): parameter for name, parameter in trained.items()}


def drawn(model: nn.Module) -> dict[str, nn.Parameter]:
    """The same with values as after training."""
    found = factors(model)
    with torch.no_grad():
        for parameter in found.values():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return found


def as_peft(fresh: nn.Module, own: dict[str, nn.Parameter], parts: list[str]) -> nn.Module:
    """Return peft's (IA)3 with the factors ``own``; those of parts that we leave alone are 1."""
    config = peft.IA3Config(target_modules=["qkv", "fc2"], feedforward_modules=["fc2"])
    theirs = peft.get_peft_model(copy.deepcopy(fresh), config).base_model.model
    for name, layer in theirs.named_modules():
        if isinstance(layer, peft.tuners.ia3.IA3Layer):
            scale = own[name].detach()
            if name.endswith("qkv") and parts:
                pieces = dict(zip(parts, scale.chunk(len(parts)), strict=True))
                one = torch.ones(layer.out_features // 3, dtype=scale.dtype)
                scale = torch.cat([pieces.get(part, one) for part in "qkv"])
            layer.ia3_l["default"].data = scale.view_as(layer.ia3_l["default"]).clone()
    return theirs


def placed(gradient: Tensor, parts: list[str]) -> Tensor:
    """Return the part of peft's gradient of a packed layer that is ours."""
    pieces = dict(zip("qkv", gradient.flatten().chunk(3), strict=True))
    return torch.cat([pieces[part] for part in parts or "qkv"])


@pytest.mark.parametrize("parts", [["k", "v"], ["q", "v"], []])
def test_outputs_and_gradients_are_pefts(parts: list[str]) -> None:
    fresh, x = small_vit().double(), images(dtype=torch.float64)
    model = copy.deepcopy(fresh)
    hydra_peft.inject(model, "ia3", parts=parts)
    own = drawn(model)
    theirs = as_peft(fresh, own, parts)
    torch.testing.assert_close(model(x), theirs(x), rtol=0, atol=1e-12)
    for one in (model, theirs):
        F.cross_entropy(one(x), torch.tensor([0, 1, 2])).backward()
    for name, parameter in own.items():
        gradient = theirs.get_submodule(name).ia3_l["default"].grad
        expected = placed(gradient, parts) if name.endswith("qkv") else gradient.flatten()
        torch.testing.assert_close(parameter.grad, expected, rtol=0, atol=1e-12)


def test_start_is_the_frozen_backbone() -> None:
    model = small_vit()
    expected = model(images())
    hydra_peft.inject(model, "ia3")
    torch.testing.assert_close(model(images()), expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 12 * (2 * 768 + 3072)),  # 55,296
        ({"parts": []}, 12 * (3 * 768 + 3072)),
        ({"feedforward": [], "targets": ["attn.qkv"]}, 12 * 2 * 768),
        ({"feedforward": []}, 12 * (2 * 768 + 768)),  # the outputs of fc2
    ],
)
def test_counts_of_vit_b16(options: dict[str, list[str]], count: int) -> None:
    model = vit_b16()
    hydra_peft.inject(model, "ia3", **options)
    assert hydra_peft.count_parameters(model).adapter == count


def test_separate_keys_and_values_are_scaled_whole() -> None:
    sizes = {"img_size": 16, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2}
    model = timm.create_model("eva02_base_patch14_224", num_classes=3, **sizes).double().eval()
    x = images(dtype=torch.float64)
    targets = ["k_proj", "v_proj", "mlp.fc2"]
    hydra_peft.inject(model, "ia3", targets=targets)
    found = drawn(model)
    width = model.blocks[0].mlp.fc2.in_features
    assert {n.rpartition(".")[2]: len(p) for n, p in found.items()} == {
        "k_proj": 24,
        "v_proj": 24,
        "fc2": width,
    }
    expected = model(x)
    hydra_peft.merge(model)
    torch.testing.assert_close(model(x), expected, rtol=0, atol=1e-12)


def test_two_spellings_are_one_setting() -> None:
    one = build_method("ia3", targets=["mlp.fc2", "attn.qkv", "mlp.fc2"], parts=["v", "k"])
    assert one.identity() == build_method("ia3").identity()
    assert one.label == "ia3"


def test_targets_without_second_layers_say_what_feedforward_takes() -> None:
    model = small_vit()
    with pytest.raises(
        UserError, match=r"feedforward: 'mlp\.fc2' matches no layer .* or to \[\] to"
    ):
        hydra_peft.inject(model, "ia3", targets=["attn.proj"])
    hydra_peft.inject(model, "ia3", targets=["attn.proj"], feedforward=[])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"feedforward": ["mlp.fc1"]}, r"feedforward: 'mlp.fc1' matches no layer that targets="),
        ({"parts": ["k", "x"]}, r"parts=\['k', 'x'\] is not a list of some of q, k and v"),
        ({"targets": ["attn.qkw", "mlp.fc2"]}, r"'attn.qkw' matches no linear layer"),
    ],
)
def test_refusals_change_nothing(options: dict[str, list[str]], message: str) -> None:
    model = small_vit()
    before = str(model)
    with pytest.raises(UserError, match=message):
        hydra_peft.inject(model, "ia3", **options)
    assert str(model) == before
