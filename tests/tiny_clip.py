"""A tiny CLIP with random weights, known to open_clip by a name, for tests of texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

NAME = "tiny-clip-quickgelu"
WIDTH = 24
CONFIG = {
    "embed_dim": WIDTH,
    "quick_gelu": True,
    "vision_cfg": {
        "image_size": 32,
        "layers": 2,
        "width": 64,
        "patch_size": 16,
        "head_width": 64,
    },
    "text_cfg": {
        "context_length": 16,
        "vocab_size": 49408,
        "width": 32,
        "heads": 1,
        "layers": 1,
    },
}
#: words of a command that choose its image tower; the checkpoint is to be added
MODEL = [
    "model=timm",
    "model.architecture=vit_base_patch32_clip_quickgelu_224",
    *("model.image_size=32", "+model.arguments.patch_size=16"),
    *("+model.arguments.embed_dim=64", "+model.arguments.depth=2", "+model.arguments.num_heads=1"),
    f"model.projection={WIDTH}",
    f"model.text_tower={NAME}",
]
TEMPLATES = ["a photo of a {}.", "the number {}", "{}!"]
NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
PROMPTS = [f"+dataset.prompts.classes={{{','.join(f'c{n}: {n}' for n in NAMES)}}}"]
PROMPTS += ["+dataset.prompts.templates=['a photo of a {}.','the number {}','{}!']"]


def tiny_clip(folder: Path, seed: int = 0) -> tuple[Any, Path]:
    """Return a CLIP of open_clip's and the file of its weights; skip where that is missing."""
    clip = pytest.importorskip("open_clip", reason="pip install '.[clip]' has text towers")
    (folder / f"{NAME}.json").write_text(json.dumps(CONFIG))
    clip.add_model_config(folder / f"{NAME}.json")
    torch.manual_seed(seed)
    model = clip.create_model(NAME, pretrained=None, device="cpu").eval()
    path = folder / f"clip{seed}.safetensors"
    save_file({n: t.contiguous() for n, t in model.state_dict().items()}, path)
    return model, path
