"""Vision transformers of timm for tests of methods: a small one, and ViT-B/16 without values."""

from __future__ import annotations

import copy
from functools import cache

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

SMALL = {"img_size": 16, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2}


def small_vit(classes: int = 3, **changes: object) -> VisionTransformer:
    """Return a ViT of two blocks, width 24, that takes 16 x 16 images, in evaluation mode.

    Biases and norms are none of a fresh model's, where they would be zero and one.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = VisionTransformer(**{**SMALL, **changes}, num_classes=classes)  # type: ignore[arg-type]
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.05)
    return model.eval()


def vit_b16(classes: int = 10) -> nn.Module:
    """Return timm's ViT-B/16 on the meta device: shapes alone."""
    return copy.deepcopy(_shapes(classes))


@cache
def _shapes(classes: int) -> nn.Module:
    with torch.device("meta"):
        return VisionTransformer(num_classes=classes, weight_init="skip")


def images(count: int = 3, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return the same random images each time, ``[count, 3, 16, 16]``."""
    return torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(4)).to(dtype)
