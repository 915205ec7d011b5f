"""Names of linear layers that are known before torch is loaded, against timm's models."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
from torch import nn

from hydra_peft.backbones.architectures import build_architecture
from hydra_peft.backbones.layer_names import linear_layers

PLAIN = [name for name in timm.list_models("vit_*") if linear_layers(name, {}) is not None]


@pytest.mark.parametrize(
    ("architecture", "arguments"),
    [
        *[(name, {}) for name in PLAIN if "_384" not in name],
        ("vit_mini", {}),
        ("vit_mini", {"depth": 2}),
        ("vit_tiny_patch16_224.augreg_in21k", {"img_size": 64, "embed_dim": 48, "num_heads": 3}),
    ],
)
def test_they_are_those_of_the_model(architecture: str, arguments: dict[str, Any]) -> None:
    with torch.device("meta"):
        model = build_architecture(architecture, arguments)
    found = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    assert linear_layers(architecture, arguments) == found


def test_what_only_the_model_tells_is_not_said() -> None:
    assert "vit_base_patch16_224" in PLAIN
    for name in ("vit_base_patch14_reg4_dinov2", "vit_base_patch16_siglip_224", "swin_base"):
        assert linear_layers(name, {}) is None
    for arguments in ({"global_pool": "map"}, {"depth": 10**9}, {"depth": "x"}):
        assert linear_layers("vit_mini", arguments) is None
