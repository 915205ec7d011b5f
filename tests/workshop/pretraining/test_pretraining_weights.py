from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import hydra_peft
from hydra_peft.backbones.vit_mini import VIT_MINI
from hydra_peft.workshop.pretraining.train import backbone_tensors, write_weights

SHIPPED = Path(hydra_peft.__file__).parent / "assets" / "vit_mini.safetensors"


def test_head_entries_are_left_out(tmp_path: Path) -> None:
    model = timm.create_model("vit_tiny_patch16_224", pretrained=False, num_classes=5, **VIT_MINI)
    tensors = backbone_tensors(model)
    assert set(model.state_dict()) - set(tensors) == {"head.weight", "head.bias"}
    write_weights(tmp_path / "w", model, {"seed": "1"})
    assert set(load_file(tmp_path / "w")) == set(tensors)


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "w"
    path.write_bytes(b"old")
    model = torch.nn.Linear(2, 2)
    with pytest.raises(Exception):  # noqa: B017, PT011
        write_weights(path, model, {"seed": 1})  # type: ignore[dict-item]
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["w"]


def test_the_shipped_file_fits_the_backbone_and_says_how_it_was_made() -> None:
    assert SHIPPED.stat().st_size <= 6 * 1024 * 1024
    model = timm.create_model("vit_tiny_patch16_224", pretrained=False, num_classes=0, **VIT_MINI)
    stored = load_file(SHIPPED)
    model.load_state_dict(stored, strict=True)
    assert all(bool(torch.isfinite(value).all()) for value in stored.values())
    with safe_open(SHIPPED, framework="pt") as opened:
        metadata = opened.metadata()
    wanted = {"made_by", "seed", "steps", "source_accuracy", "torch", "timm", "dtype"}
    assert wanted <= set(metadata)
    # Chance is one in 256.
    assert float(metadata["source_accuracy"]) > 0.2
