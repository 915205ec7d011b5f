"""Shape of the embedded backbones `vit_mini` and `clip_mini`, which is one."""

from __future__ import annotations

from typing import Any

# Eight-pixel patches of a 32-pixel image make 17 tokens (one of them the class token). Four-pixel
# patches (65 tokens) were measured at four times the cost of a run on two CPU cores.
VIT_MINI: dict[str, Any] = {
    "img_size": 32,
    "patch_size": 8,
    "embed_dim": 128,
    "depth": 5,
    "num_heads": 4,
}
"""Keyword arguments for `timm.create_model("vit_tiny_patch16_224", pretrained=False, **VIT_MINI)`.

They describe a plain pre-norm vision transformer of about 1.05 million parameters that takes float
images of shape [batch, 3, 32, 32], normalised as `x / 127.5 - 1`. `num_classes` is left to the
caller, because the stored weights hold no head.
"""

#: architectures of our own: timm's name to build on, and its constructor arguments
EMBEDDED: dict[str, tuple[str, dict[str, Any]]] = {
    "vit_mini": ("vit_tiny_patch16_224", VIT_MINI),
    "clip_mini": ("vit_tiny_patch16_224", VIT_MINI),  # the image tower of a small CLIP
}
