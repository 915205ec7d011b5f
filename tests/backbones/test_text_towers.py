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
from hydra_peft.backbones.mini_text_tower import MiniTextTower
from hydra_peft.backbones.text_files import EmbeddedText, embedded_text
from hydra_peft.backbones.text_towers import prompt_features
from hydra_peft.backbones.weight_files import ASSETS
from hydra_peft.data.prompts import Prompts
from hydra_peft.data.word_tokenizer import MOST_WORDS, WordTokenizer
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


def embedded(seed: int | None = None, image_size: int | None = None) -> nn.Module:
    model = build_architecture("clip_mini", {}, projection=64, image_size=image_size)
    if seed is None:
        load_checkpoint(model, ASSETS / "clip_mini.safetensors")
    return model


SAID = Prompts(
    ("a", "b"), ("a heart", "two rings"), ("A picture of {}!", "{} among smaller objects")
)


def test_the_embedded_tower_gives_normed_means_without_open_clip(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hydra_peft.backbones.text_towers._open_clip", None)
    files = embedded_text("clip_mini")
    assert files is not None
    tokenizer = WordTokenizer.read(files.vocabulary)
    tower = MiniTextTower(len(tokenizer.words), 64).eval()
    tower.load_state_dict(load_file(files.weights))
    expected = []
    for name in SAID.names:
        # One at a time: what fills a sentence up does not count.
        rows = [tower(tokenizer([t.format(name)]))[0].detach() for t in SAID.templates]
        mean = sum(row / row.norm() for row in rows)
        expected.append(mean / mean.norm())
    options = {"checkpoint": None, "tag": ""}
    found = prompt_features(SAID, "clip_mini", backbone=embedded(), **options)
    assert torch.allclose(found, torch.stack(expected), atol=1e-5)
    resized = embedded(image_size=64)
    assert torch.equal(prompt_features(SAID, "clip_mini", backbone=resized, **options), found)
    with pytest.raises(UserError, match="belongs to another backbone: its image tower has"):
        prompt_features(SAID, "clip_mini", backbone=embedded(seed=0), **options)


def test_the_embedded_tower_is_a_transformer_over_words() -> None:
    """Plainly, in float64: attention in both directions, the mean over words, projected."""
    torch.manual_seed(0)
    tower = MiniTextTower(9, 5).double().eval()
    x = (tower.words.weight[[3, 7, 1]] + tower.positions[:3]).detach()
    for block in tower.blocks.layers:
        y = nn.functional.layer_norm(x, (128,), block.norm1.weight, block.norm1.bias)
        qkv = y @ block.self_attn.in_proj_weight.T + block.self_attn.in_proj_bias
        q, k, v = (part.view(3, 4, 32).transpose(0, 1) for part in qkv.chunk(3, dim=1))
        mixed = (q @ k.transpose(1, 2) / 32**0.5).softmax(dim=2) @ v
        x = x + block.self_attn.out_proj(mixed.transpose(0, 1).reshape(3, 128))
        y = nn.functional.layer_norm(x, (128,), block.norm2.weight, block.norm2.bias)
        x = x + block.linear2(nn.functional.gelu(block.linear1(y)))
    x = nn.functional.layer_norm(x, (128,), tower.blocks.norm.weight, tower.blocks.norm.bias)
    expected = x.mean(dim=0) @ tower.projection.weight.T
    with torch.no_grad():
        found = tower(torch.tensor([[3, 7, 1, 0, 0], [2, 2, 2, 2, 2]]))[0]
    assert torch.allclose(found, expected, atol=1e-9)


def test_words_that_the_embedded_tower_never_saw_are_refused() -> None:
    tokenizer = WordTokenizer(("a", "heart", "hearts", "of"))
    assert tokenizer(["A heart.", "of hearts, of a"]).tolist() == [[1, 2, 0, 0], [4, 3, 4, 1]]
    with pytest.raises(UserError, match=r"has the word 'harts', .* 4 words \(near ones: hearts"):
        tokenizer(["a harts"])
    with pytest.raises(UserError, match=rf"has 0 words, and this .* reads 1 to {MOST_WORDS}"):
        tokenizer(["?"])


def test_files_of_an_embedded_tower_lie_beside_its_image_tower() -> None:
    files = EmbeddedText.beside(Path("x/clip_mini.safetensors"))
    assert files.weights == Path("x/clip_mini_text.safetensors")
    assert files.vocabulary == Path("x/clip_mini_words.txt")
    assert embedded_text("ViT-B-32") is None
