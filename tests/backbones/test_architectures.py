"""Which of timm's models can be used, and what is said of the others."""

from __future__ import annotations

import re
from typing import Any, cast

import pytest
import timm
import torch

from hydra_peft.adaptation.injection import inject
from hydra_peft.adaptation.merging import merge
from hydra_peft.augmentations.none import Unchanged
from hydra_peft.backbones.architectures import build_architecture, input_size
from hydra_peft.config.schema import ModelConfig
from hydra_peft.errors import UserError
from hydra_peft.heads.linear import Linear
from hydra_peft.methods import _prompts, build_method
from hydra_peft.runs.assembly import _check_fit

#: one of each family, with what makes it small
FAMILIES: list[tuple[str, dict[str, Any], list[str]]] = [
    ("vit_tiny_patch16_224", {"depth": 1}, ["attn.proj", "mlp.fc2"]),
    ("vit_small_patch16_dinov3", {"depth": 1}, ["attn.proj", "mlp.fc2"]),
    ("eva02_tiny_patch14_224", {"depth": 1}, ["attn.proj", "mlp.fc2"]),
    ("beit_base_patch16_224", {"depth": 1}, ["attn.proj", "mlp.fc2"]),
    ("deit_tiny_distilled_patch16_224", {"depth": 1}, ["attn.proj", "mlp.fc2"]),
    ("vit_relpos_small_patch16_224", {"depth": 1}, ["attn.proj", "mlp.fc2"]),
    ("vit_base_patch16_xp_224", {"depth": 1}, ["attn_out_proj", "mlp_out_proj"]),
    ("vit_small_patch16_36x1_224", {"depth": 1}, ["attn.proj", "mlp.fc2"]),
    ("vit_small_patch16_18x2_224", {"depth": 1}, ["attn.proj", "mlp.fc2"]),
    ("convnext_tiny", {"depths": [1] * 4, "dims": [8] * 4}, ["fc2"]),
    ("mixer_s32_224", {}, ["fc2"]),
]


def fit(name: str, arguments: dict[str, Any], **options: Any) -> None:
    """Check that a model and a method fit, as a run does before it starts."""
    model = ModelConfig(name, name, None, False, 0.1, arguments, None)
    _check_fit(model, Linear(), build_method("hydra", **options), Unchanged(), 7)


@pytest.mark.parametrize(("name", "arguments", "targets"), FAMILIES)
def test_every_family_that_can_be_used_is(
    name: str, arguments: dict[str, Any], targets: list[str]
) -> None:
    fit(name, arguments, targets=targets)


def test_what_is_at_fault_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    beit: dict[str, Any] = {"depth": 1, "embed_dim": 24, "num_heads": 2, "img_size": 32}
    model = ModelConfig("beit", "beit_base_patch16_224", None, False, 0.1, beit, None)
    prompts = build_method("vpt_deep")
    with pytest.raises(UserError, match="this Beit gives its patches positions inside attention"):
        _check_fit(model, Linear(), prompts, Unchanged(), 7)
    monkeypatch.setattr(_prompts, "_takes_more_tokens", lambda *_: True)
    said = r"^method vpt_deep cannot be used on .*beit.* \(.*roadcast.*\): choose another method"
    with pytest.raises(UserError, match=said):
        _check_fit(model, Linear(), prompts, Unchanged(), 7)


def test_a_model_of_another_class_trains_and_merges() -> None:
    small = {"img_size": 32, "embed_dim": 32, "depth": 1, "num_heads": 2}
    model = build_architecture("vit_small_patch16_dinov3", small)
    cast(Any, model).reset_classifier(3)
    done = inject(model, "hydra")
    assert done.layers == ("blocks.0.attn.proj", "blocks.0.mlp.fc2")
    images = torch.randn(2, 3, *input_size(model))
    for parameter in (p for p in model.parameters() if p.requires_grad):
        torch.nn.init.normal_(parameter, std=0.1)
    model.eval()(images).sum().backward()
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    before = model(images)
    merge(model)
    torch.testing.assert_close(model(images), before, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "arguments", "shape"),
    [
        ("convnext_tiny", {"depths": [1] * 4, "dims": [8] * 4}, (2, 8, 2, 2)),
        ("mixer_s32_224", {}, (2, 4, 512)),
    ],
)
def test_images_of_another_size_are_what_a_model_without_attention_is_fed(
    name: str, arguments: dict[str, Any], shape: tuple[int, ...]
) -> None:
    model = build_architecture(name, arguments, image_size=64)
    assert input_size(model) == (64, 64)
    features = cast(Any, model).forward_features(torch.zeros(2, 3, *input_size(model)))
    assert features.shape == shape
    assert input_size(build_architecture(name, arguments)) == (224, 224)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("resnet18", {}, "is of class ResNet, whose batch norms keep running statistics, which tr"),
        ("qwen3_vit_88m_enc", {}, "is of class Qwen3VitEncoder, whose head cannot be replaced"),
        ("swin_tiny", {}, "near names: swin_tiny_patch4_window7_224"),
        ("facebook/dinov2-small", {}, "near names: vit_small_patch14_dinov2, vit_small"),
        ("parallelvit", {}, "is unknown to timm; give the name of one of its models"),
        ("vgg11", {}, r"cannot build model.architecture 'vgg11' \(TypeError.*: change model.arch"),
        ("vit_tiny_patch16_224.x", {}, r"Invalid pretrained tag \(x\)"),
        ("vit_mini", {"depht": 2}, "unknown key 'model.arguments.depht' .did you mean 'depth'"),
        ("vit_mini", {"checkpoint_path": 1}, "unknown key 'model.arguments.checkpoint_path'"),
        ("vit_mini", {"device": "meta"}, "unknown key 'model.arguments.device'"),
        ("vit_mini", {"num_heads": 0}, r"model.arguments=.'num_heads': 0. \(ZeroDivisionError"),
        ("vit_mini", {"img_size": "x"}, "img_size=x is not allowed: it must be a number; leave it"),
        ("vit_mini", {"img_size": [10**6, 1]}, "model.arguments.img_size=1000000 is not allowed"),
        ("vit_mini", {"depth": 100_000}, "model.arguments.depth=100000 is not allowed"),
        ("vit_mini", {"depth": 1.5}, "depth=1.5 is not allowed: it must be a whole number; leave"),
        ("vit_mini", {"num_heads": [4]}, r"num_heads=\[4\] is not allowed: it must be a whole"),
        ("vit_mini", {"depth": True}, "model.arguments.depth=True is not allowed"),
        ("vit_mini", {"embed_dim": 10**9}, "model.arguments.embed_dim=1000000000 is not allowed"),
        ("vit_mini", {"embed_dim": 500_000}, "15,000,139,000,000 parameters, more than any"),
        ("vit_mini", {"qkv_bias": 2}, "model.arguments.qkv_bias=2 .* must be true or false"),
        ("vit_mini", {"in_chans": 1}, "with a head .*Invalid channel dimensions"),
        ("vit_mini", {"global_pool": ""}, r"outputs of shape \(1, 17, 7\) .* change model.argum"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(
    name: str, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        fit(name, arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["vit_small_patch16_dino", "vit_bse_patch16_224", "beit_bse"])
def test_names_that_are_offered_can_be_used(name: str) -> None:
    with pytest.raises(UserError, match="is unknown to timm; near names: ") as caught:
        build_architecture(name, {})
    offered = str(caught.value).rstrip(".").rsplit(": ", 1)[1].split(", ")
    assert offered
    with torch.device("meta"):
        for other in offered:
            assert timm.is_model(other)
            build_architecture(other, {"depth": 1})


def test_the_name_that_is_nearest_is_offered_of_any_family() -> None:
    with pytest.raises(UserError, match="near names: test_convnext, test_vit"):
        build_architecture("test_convnxt", {})


def test_patches_that_overlap_cover_sizes_of_no_multiple() -> None:
    model = build_architecture("pvt_v2_b0", {"depths": (1, 1, 1, 1)}, image_size=64)
    assert input_size(model) == (64, 64)


@pytest.mark.parametrize("name", ["vit_base_patch16_xp_224", "vit_dpwee_patch16_reg1_gap_256"])
def test_patterns_that_are_offered_match_whole_models(name: str) -> None:
    with pytest.raises(UserError, match="matches no linear layer") as caught:
        fit(name, {"depth": 2})
    offered = re.sub(r".*near names: (.*)\.", r"\1", str(caught.value)).split(", ")
    with torch.device("meta"):
        model = build_architecture(name, {"depth": 2})
        done = inject(model, "lora", targets=offered, bias=False)
    assert not any(re.match(r"\d", pattern) for pattern in offered)
    assert len(done.layers) == 2 * len(offered)
