"""Weights of another model, or in other names: the sentence has what differs, and what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from hydra_peft.backbones.architectures import build_architecture
from hydra_peft.backbones.backbones import check_weights
from hydra_peft.backbones.checkpoints import fitting_state
from hydra_peft.errors import UserError

SWIN: dict[str, Any] = {"depths": [1], "num_heads": [2], "embed_dim": 8, "window_size": 4}


def built(name: str, **arguments: Any) -> nn.Module:
    with torch.device("meta"):
        return build_architecture(name, arguments)


def state_of(model: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    return {f"{prefix}{n}": torch.empty(t.shape) for n, t in model.state_dict().items()}


def refusal(model: nn.Module, state: dict[str, Tensor]) -> str:
    with pytest.raises(UserError) as caught:
        fitting_state(model, state, "w.pth")
    return str(caught.value)


@pytest.mark.parametrize("prefix", ["model.", "backbone.", "encoder.", "module.encoder_q."])
@pytest.mark.parametrize("name", ["test_vit", "test_convnext", "swin_tiny_patch4_window7_224"])
def test_what_stands_before_every_name_is_named(name: str, prefix: str) -> None:
    model = built(name)
    said = refusal(model, {**state_of(model, prefix), "classifier.bias": torch.empty(3)})
    count = len(model.state_dict())
    assert f"lacks {count:,} tensors" in said
    assert f"; {count} of those it lacks are there behind '{prefix}': save what begins so" in said


@pytest.mark.parametrize(
    ("name", "arguments", "other"),
    [
        ("beit_base_patch16_224", {"depth": 1, "embed_dim": 24, "num_heads": 2}, "test_convnext"),
        ("eva02_tiny_patch14_224", {"depth": 1, "embed_dim": 24, "num_heads": 2}, "test_vit"),
        ("test_convnext", {}, "test_vit"),
    ],
)
def test_names_that_differ_are_told_where_timms_conversion_fails(
    name: str, arguments: dict[str, Any], other: str
) -> None:
    said = refusal(built(name, **arguments), state_of(built(other)))
    assert re.search(r"does not fit this model: it lacks \d+ tensors \['.*\] and has \d+ unk", said)
    assert "are there behind" not in said


def test_a_shape_is_told_where_timms_conversion_fails() -> None:
    model = built("test_vit")
    state = {**state_of(model), "pos_embed": torch.empty(1, 171, 64)}
    said = refusal(model, state)
    assert "'pos_embed' has shape (1, 171, 64), this model has (1, 101, 64)" in said


@pytest.mark.parametrize(
    ("name", "differs"),
    [
        ("hiera_tiny_224", "pos_embed"),
        ("cait_xxs24_224", "pos_embed"),
        ("crossvit_tiny_240", "pos_embed_0"),
        ("pit_ti_224", "pos_embed"),
        ("convit_tiny", "pos_embed"),
        ("gmlp_ti16_224", "gate.proj.weight"),
        ("mixer_s32_224", "mlp_tokens.fc1.weight"),
        ("resmlp_12_224", "linear_tokens.weight"),
        ("gcvit_xxtiny", "relative_position_bias_table"),
        ("nest_tiny", "pos_embed"),
    ],
)
def test_another_number_of_patches_names_the_size(name: str, differs: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(name, num_classes=0, img_size=256)
        own = timm.create_model(name, num_classes=0, img_size=128)
    said = refusal(model, state_of(own))
    assert differs in said
    assert said.endswith("set model.image_size to the size that these weights are for.")


@pytest.mark.parametrize("change", [{"embed_dim": 16}, {"num_heads": [4]}])
def test_another_width_does_not(change: dict[str, Any]) -> None:
    name = "swin_tiny_patch4_window7_224"
    said = refusal(built(name, **SWIN), state_of(built(name, **{**SWIN, **change})))
    assert "this model has" in said
    assert "image_size" not in said


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (("adapter.json", "adapter.safetensors", "result.json"), "train.py takes it as init_from="),
        (("adapter.json", "adapter.safetensors"), r"hydra_peft\.load_adapter\(model, '"),
        (("adapter_config.json", "adapter_model.safetensors"), "train.py takes it as init_from="),
        (("adapter_config.json", "adapter_model.bin"), "train.py takes it as init_from="),
    ],
)
def test_an_adapter_is_no_backbone(tmp_path: Path, names: tuple[str, ...], taken: str) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"")
    said = rf"is an adapter \({names[0]}\), .*: {taken}{tmp_path}.*; set model\.checkpoint to"
    for place in (tmp_path, tmp_path / names[0], tmp_path / names[1]):
        with pytest.raises(UserError, match=said):
            check(place)
    (tmp_path / "model.safetensors").write_bytes(b"")  # a folder of a whole model, too
    with pytest.raises(UserError, match="truncated or not a safetensors file"):
        check(tmp_path)


def check(checkpoint: Path) -> None:
    options: dict[str, Any] = {"arguments": {}, "drop_path": 0.0, "remedy": None}
    check_weights("test_vit", checkpoint=str(checkpoint), **options)
