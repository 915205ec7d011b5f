"""Image towers of CLIP with their projection: features, sizes, local weights in three namings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import hydra_peft
from hydra_peft.backbones import backbones
from hydra_peft.backbones.architectures import build_architecture
from hydra_peft.backbones.backbones import build_backbone, check_weights
from hydra_peft.backbones.checkpoints import check_checkpoint, load_checkpoint
from hydra_peft.errors import UserError

QUICK = "vit_base_patch32_clip_quickgelu_224"
TINY = {"img_size": 32, "patch_size": 16, "embed_dim": 64, "depth": 2, "num_heads": 1}
OPTIONS: dict[str, Any] = {
    "arguments": TINY,
    "drop_path": 0.0,
    "pretrained": True,
    "seed": 0,
    "projection": 24,
}


def tower(name: str = QUICK) -> nn.Module:
    torch.manual_seed(0)
    return build_architecture(name, TINY, projection=24).eval()


def of_timm(seed: int = 1) -> nn.Module:
    """Return timm's own model, whose classifier is the projection, with random weights."""
    torch.manual_seed(seed)
    model = timm.create_model(QUICK, num_classes=24, **TINY).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.1)
    nn.init.zeros_(model.head.bias)
    return model


def saved(state: dict[str, Tensor], folder: Path, name: str = "clip.safetensors") -> Path:
    save_file({key: tensor.contiguous() for key, tensor in state.items()}, folder / name)
    return folder / name


def test_features_are_the_normed_class_token_times_the_projection() -> None:
    model, images = tower().double(), torch.randn(3, 3, 32, 32, dtype=torch.float64)
    tokens = model.forward_features(images)
    assert torch.allclose(model(images), tokens[:, 0] @ model.projection.weight.T, atol=1e-12)
    features = model(images)
    model.reset_classifier(5)
    model.double()
    expected = features @ model.head.weight.T + model.head.bias
    assert torch.allclose(model(images), expected, atol=1e-12)
    assert torch.equal(model.forward_head(tokens, pre_logits=True), features)


def test_timms_own_weights_give_timms_own_features(tmp_path: Path) -> None:
    source, model = of_timm(), tower()
    path = saved(source.state_dict(), tmp_path)
    check_checkpoint(model, path)
    load_checkpoint(model, path)
    images = torch.randn(2, 3, 32, 32)
    assert torch.allclose(model(images), source(images), atol=1e-6)


def openais(model: nn.Module) -> dict[str, Tensor]:
    """Return the weights of timm's ``model`` in OpenAI's naming, beside a text tower's."""
    names = {"norm1": "ln_1", "norm2": "ln_2", "attn.qkv.weight": "attn.in_proj_weight"}
    names |= {"attn.qkv.bias": "attn.in_proj_bias", "attn.proj": "attn.out_proj"}
    names |= {"mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}
    own = model.state_dict()
    state = {
        "visual.class_embedding": own["cls_token"][0, 0],
        "visual.positional_embedding": own["pos_embed"][0],
        "visual.conv1.weight": own["patch_embed.proj.weight"],
        "visual.proj": own["head.weight"].T,
        "logit_scale": torch.tensor(4.6),
        "positional_embedding": torch.zeros(77, 8),
        "transformer.resblocks.0.ln_1.weight": torch.zeros(8),
    }
    for norm, theirs in (("norm_pre", "ln_pre"), ("norm", "ln_post")):
        state |= {f"visual.{theirs}.{p}": own[f"{norm}.{p}"] for p in ("weight", "bias")}
    for name, tensor in own.items():
        if name.startswith("blocks."):
            _, block, layer = name.split(".", 2)
            for ours, theirs in names.items():
                layer = layer.replace(ours, theirs)
            state[f"visual.transformer.resblocks.{block}.{layer}"] = tensor
    return state


def test_openais_naming_gives_the_same_features(tmp_path: Path) -> None:
    source, model = of_timm(), tower()
    path = saved({n: t.half() for n, t in openais(source).items()}, tmp_path)
    check_checkpoint(model, path)
    load_checkpoint(model, path)
    source.half().float()  # as the file has them
    images = torch.randn(2, 3, 32, 32)
    assert torch.allclose(model(images), source(images), atol=1e-6)


@pytest.mark.parametrize("quick", [True, False])
def test_features_equal_those_of_open_clip(tmp_path: Path, quick: bool) -> None:
    clip = pytest.importorskip("open_clip", reason="pip install '.[clip]' compares with open_clip")
    torch.manual_seed(0)
    vision = {"image_size": 32, "layers": 2, "width": 64, "patch_size": 16, "head_width": 64}
    text = {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 1, "layers": 1}
    theirs = clip.model.CLIP(24, vision, text, quick_gelu=quick).eval()
    path = saved(theirs.state_dict(), tmp_path)
    model = tower(QUICK if quick else "vit_base_patch32_clip_224")
    load_checkpoint(model, path)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.allclose(model(images), theirs.encode_image(images), atol=1e-5)


def test_a_file_without_the_projection_or_with_a_classifier_is_refused(tmp_path: Path) -> None:
    state = {n: t for n, t in of_timm().state_dict().items() if not n.startswith("head.")}
    with pytest.raises(UserError, match=r"lacks 1 tensor \['projection.weight'\]"):
        load_checkpoint(tower(), saved(state, tmp_path))
    trained = of_timm()
    nn.init.ones_(trained.head.bias)
    with pytest.raises(UserError, match="a trained classifier, not the projection"):
        load_checkpoint(tower(), saved(trained.state_dict(), tmp_path))


def test_other_architectures_have_no_projection() -> None:
    with pytest.raises(UserError, match=r"model.projection=24 is for image towers.*is a Eva: set"):
        build_architecture("eva02_tiny_patch14_224", {"depth": 1}, projection=24)


def test_the_hub_gives_the_projection_that_timm_states(monkeypatch: pytest.MonkeyPatch) -> None:
    source = of_timm()
    source.pretrained_cfg = {**source.pretrained_cfg, "num_classes": 24}
    asked: list[int] = []

    def hub(*_: object, num_classes: int, **__: object) -> nn.Module:
        asked.append(num_classes)
        return source

    build = timm.create_model
    monkeypatch.setattr(
        timm, "create_model", lambda *a, pretrained, **o: (hub if pretrained else build)(*a, **o)
    )
    monkeypatch.setattr("hydra_peft.hub._reachable", lambda _: False)
    backbones.forget_backbones()
    model, _ = build_backbone(f"{QUICK}.openai", checkpoint=None, **OPTIONS)
    images = torch.randn(2, 3, 32, 32)
    assert asked == [24]
    assert torch.allclose(model.eval()(images), source(images), atol=1e-6)
    with pytest.raises(
        UserError, match=r"model.projection=25 is not what .* timm states 24 outputs"
    ):
        build_backbone(f"{QUICK}.openai", checkpoint=None, **{**OPTIONS, "projection": 25})
    backbones.forget_backbones()


@pytest.mark.parametrize(
    ("architecture", "beside"),
    [
        ("vit_base_patch32_clip_224.openai", {}),
        (
            "vit_base_patch32_clip_224",
            {"open_clip_config.json": {"model_cfg": {"quick_gelu": True}}},
        ),
        (QUICK, {"open_clip_config.json": {"model_cfg": {"embed_dim": 24}}}),
        (
            "vit_base_patch32_clip_224",
            {
                "config.json": {
                    "architecture": "vit_base_patch32_clip_224",
                    "pretrained_cfg": {"tag": "openai"},
                }
            },
        ),
        (
            QUICK,
            {
                "config.json": {
                    "architecture": "vit_base_patch32_clip_224",
                    "pretrained_cfg": {"tag": "laion2b"},
                }
            },
        ),
    ],
)
def test_the_activation_that_weights_were_not_trained_with_is_refused(
    tmp_path: Path, architecture: str, beside: dict[str, Any]
) -> None:
    path = saved(of_timm().state_dict(), tmp_path)
    for name, said in beside.items():
        (tmp_path / name).write_text(json.dumps(said))
    wrong = (
        "were trained with (Quick)?GELU, and .* slightly wrong features: take model.architecture="
    )
    with pytest.raises(UserError, match=wrong):
        build_backbone(architecture, checkpoint=str(path), **OPTIONS)
    arguments = {k: v for k, v in OPTIONS.items() if k not in ("pretrained", "seed")}
    with pytest.raises(UserError, match=wrong):
        check_weights(architecture, checkpoint=str(path), remedy=None, **arguments)


def test_without_the_projection_it_is_warned_of_and_the_right_one_passes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = saved(of_timm().state_dict(), tmp_path)
    plain = {**OPTIONS, "projection": None}
    build_backbone("vit_base_patch32_clip_224.openai", checkpoint=str(path), **plain)
    assert caplog.messages[0].endswith(f"take model.architecture={QUICK}.openai")
    caplog.clear()
    (tmp_path / "config.json").write_text("[]")  # something else of that name
    model, weights = build_backbone(f"{QUICK}.openai", checkpoint=str(path), **OPTIONS)
    assert not caplog.messages
    assert weights.kind == "pretrained"
    assert model.projection.weight.shape == (24, 64)


#: what Table 1 counts: 513 for each class (768 -> 512 is CLIP's), and elevater.md's rows beside it
CLASSES = [102, 10, 100, 211, 47, 10, 7, 100, 101, 43, 2, 4, 10, 102, 37, 2, 2, 45, 196, 20]
ROWS: dict[str, tuple[dict[str, Any], int]] = {
    "linear": ({}, 0),
    "full": ({}, 87_849_216),
    "adapter": ({"rank": 64, "norm": True}, 1_208_064),
    "lora": ({"rank": 4, "targets": ["attn.qkv"], "parts": ["q", "v"], "bias": False}, 147_456),
    "kadaptation": ({}, 50_176),
    "hydra": ({"rank": 2, "targets": ["mlp.fc2"], "bias": True}, 147_504),
}


@pytest.mark.parametrize("name", ROWS)
def test_counts_are_those_of_elevaters_rows(name: str) -> None:
    options, adapter = ROWS[name]
    with torch.device("meta"):
        model = build_architecture(QUICK, {}, projection=512)
        model.reset_classifier(CLASSES[0])
        hydra_peft.inject(model, name, **options)
    counts = hydra_peft.count_parameters(model)
    assert counts.adapter == adapter
    assert counts.head == 513 * CLASSES[0]
    mean_head = round(513 * sum(CLASSES) / len(CLASSES))
    assert (len(CLASSES), mean_head) == (20, 29_523)
    if name == "hydra":
        assert counts.adapter + mean_head == 177_027  # 0.18 M, where the paper prints 0.20
    if name == "full":
        assert counts.adapter + mean_head == 87_878_739
