"""Features of prompts against a plain computation with open_clip's own text tower."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_clip import NAME, NAMES, TEMPLATES, WIDTH, tiny_clip
from torch import nn

from hydra_peft.backbones.architectures import build_architecture
from hydra_peft.backbones.checkpoints import load_checkpoint
from hydra_peft.backbones.text_towers import prompt_features
from hydra_peft.data.prompts import Prompts
from hydra_peft.errors import UserError

PROMPTS = Prompts(tuple(NAMES), tuple(NAMES), tuple(TEMPLATES))
TINY = {"img_size": 32, "patch_size": 16, "embed_dim": 64, "depth": 2, "num_heads": 1}


def tower(path: Path, **changes: Any) -> nn.Module:
    model = build_architecture(
        "vit_base_patch32_clip_quickgelu_224", {**TINY, **changes}, projection=WIDTH
    )
    load_checkpoint(model, path)
    return model


def test_features_are_normed_means_of_normed_features_of_the_text_tower(tmp_path: Path) -> None:
    clip, path = tiny_clip(tmp_path)
    tokenizer = sys.modules["open_clip"].get_tokenizer(NAME)
    expected = []
    with torch.no_grad():
        for name in NAMES:
            rows = [clip.encode_text(tokenizer([t.format(name)]))[0] for t in TEMPLATES]
            mean = sum(row / row.norm() for row in rows) / len(rows)
            expected.append(mean / mean.norm())
    options = {"checkpoint": path, "tag": "", "backbone": tower(path)}
    found = prompt_features(PROMPTS, NAME, **options)
    assert found.shape == (10, WIDTH)
    assert torch.allclose(found, torch.stack(expected), atol=1e-6)
    # Position embeddings that were resampled are still this tower's.
    options["backbone"] = tower(path, img_size=64)
    assert torch.equal(prompt_features(PROMPTS, NAME, **options), found)


def test_texts_of_another_backbone_are_refused(tmp_path: Path) -> None:
    _, path = tiny_clip(tmp_path)
    _, other = tiny_clip(tmp_path, seed=1)
    with pytest.raises(UserError, match="belongs to another backbone: its image tower has another"):
        prompt_features(PROMPTS, NAME, checkpoint=path, tag="", backbone=tower(other))
    plain = build_architecture("vit_tiny_patch16_224", {"img_size": 32, "depth": 1})
    with pytest.raises(UserError, match=r"belongs to another backbone: .* does not fit this model"):
        prompt_features(PROMPTS, NAME, checkpoint=path, tag="", backbone=plain)


def test_what_has_no_text_tower_is_refused(tmp_path: Path) -> None:
    _, path = tiny_clip(tmp_path)
    image = {n: t for n, t in load_file(path).items() if n.startswith("visual.")}
    save_file(image, tmp_path / "image.safetensors")
    for file, said in (
        (tmp_path / "image.safetensors", "holds no text tower: set model.text_checkpoint"),
        (tmp_path / "none.safetensors", "does not exist or is not a file"),
    ):
        with pytest.raises(UserError, match=said):
            prompt_features(PROMPTS, NAME, checkpoint=file, tag="", backbone=tower(path))
    with pytest.raises(UserError, match=r"text_tower 'tiny-clip' is unknown.*tiny-clip-quickgelu"):
        prompt_features(PROMPTS, "tiny-clip", checkpoint=path, tag="", backbone=tower(path))


def test_a_hub_that_does_not_answer_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, path = tiny_clip(tmp_path)

    def silent(*_: object, **__: object) -> None:
        raise ConnectionError("no network")

    monkeypatch.setattr(sys.modules["open_clip"], "create_model", silent)
    with pytest.raises(UserError, match=r"hub did not give the weights \(ConnectionError\)"):
        prompt_features(PROMPTS, NAME, checkpoint=None, tag="openai", backbone=tower(path))
