"""Backbones: loaded once, never shared, their origin known."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from hydra_peft.backbones import backbones, weight_files
from hydra_peft.backbones.architectures import build_architecture, input_size, normalization
from hydra_peft.backbones.backbones import build_backbone, check_weights
from hydra_peft.config.schema import ModelConfig
from hydra_peft.errors import UserError

DEFAULTS: dict[str, Any] = {
    "arguments": {},
    "drop_path": 0.0,
    "checkpoint": None,
    "pretrained": True,
    "seed": 0,
}


def test_embedded_backbone_is_small_and_pretrained() -> None:
    model, weights = build_backbone("vit_mini", **DEFAULTS)
    assert 1_000_000 <= sum(p.numel() for p in model.parameters()) <= 2_000_000
    assert weights.kind == "pretrained"
    assert input_size(model) == (32, 32)
    assert normalization(model) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert (weight_files.ASSETS / "vit_mini.safetensors").stat().st_size <= 6 * 2**20


def test_read_once_and_handed_out_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    first, weights = build_backbone("vit_mini", **DEFAULTS)
    monkeypatch.setattr(backbones, "load_checkpoint", lambda *_: pytest.fail("read again"))
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.zero_()
    second, again = build_backbone("vit_mini", **DEFAULTS)
    assert again == weights
    assert backbones.weights_hash(second.state_dict()) == weights.sha256
    assert second.blocks[0].attn.qkv.weight.abs().sum() > 0


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    state = build_architecture("vit_mini", {}).state_dict()
    save_file({n: t.contiguous() for n, t in state.items()}, path)
    arguments = {**DEFAULTS, "checkpoint": str(path)}
    _, before = build_backbone("vit_mini", **arguments)
    state["norm.weight"] += 1
    save_file({n: t.contiguous() for n, t in state.items()}, path)
    _, after = build_backbone("vit_mini", **arguments)
    assert before.sha256 != after.sha256


def test_random_weights_say_so_and_follow_the_seed_alone() -> None:
    arguments = {**DEFAULTS, "pretrained": False, "seed": 5}
    torch.manual_seed(1)
    _, first = build_backbone("vit_mini", **arguments)
    torch.manual_seed(2)
    _, second = build_backbone("vit_mini", **arguments)
    _, third = build_backbone("vit_mini", **{**arguments, "seed": 6})
    assert first.kind == "random"
    assert first == second
    assert first.sha256 != third.sha256


def test_missing_weights_say_where_to_get_them() -> None:
    url = "https://example.org/ViT-B_16.npz"
    model = ModelConfig("x", "vit_mini", "/nowhere/x.npz", True, 0.0, {}, url)
    missing = {**DEFAULTS, "checkpoint": model.checkpoint, "remedy": model.remedy}
    with pytest.raises(UserError, match=f"fetch {url} and set model.checkpoint=<file>"):
        build_backbone("vit_mini", **missing)


def test_no_hub_is_one_sentence() -> None:
    with pytest.raises(UserError, match=r"hub did not give the weights.*model.checkpoint=<file>"):
        build_backbone("vit_tiny_patch16_224.augreg_in21k", **DEFAULTS)


@pytest.mark.parametrize(
    "arguments",
    [{"reg_tokens": 2}, {"depth": 3}, {"no_embed_class": True}, {"patch_size": [8] * 3}],
)
def test_arguments_of_a_model_that_weights_do_not_fit_are_named(arguments: dict[str, Any]) -> None:
    said = f"as model.architecture 'vit_mini' with model.arguments={arguments}: change "
    given = {**DEFAULTS, "arguments": arguments}
    with pytest.raises(UserError, match=re.escape(said)):
        build_backbone("vit_mini", **given)
    del given["pretrained"], given["seed"]
    with pytest.raises(UserError, match=re.escape(said)):
        check_weights("vit_mini", remedy=None, **given)
