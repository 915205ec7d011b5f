"""Names of the linear layers of plain vision transformers, known before torch is loaded."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hydra_peft.backbones.vit_mini import EMBEDDED

#: timm's linear layers of one block
BLOCK_LAYERS = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")
#: timm's plain ViTs, by their size: no registers, no other kind of block
_PLAIN = re.compile(r"vit_(tiny|small|base|large)_patch\d+_\d+(\..*)?")
_DEPTHS = {"tiny": 12, "small": 12, "base": 12, "large": 24}
#: deeper ones are refused when they are built
_MOST_BLOCKS = 128
#: constructor arguments that leave these names as they are
_HARMLESS = frozenset({"img_size", "patch_size", "embed_dim", "num_heads", "mlp_ratio", "depth"})


def linear_layers(architecture: str, arguments: Mapping[str, Any]) -> list[str] | None:
    """Return the names of all linear layers outside the head, None where only the model tells.

    Args:
        architecture: a name of timm's, with or without a tag, or of an embedded model.
        arguments: further constructor arguments.
    """
    base, own = EMBEDDED.get(architecture, (architecture, {}))
    plain = _PLAIN.fullmatch(base)
    if plain is None or not arguments.keys() <= _HARMLESS:
        return None
    depth = {"depth": _DEPTHS[plain[1]], **own, **arguments}["depth"]
    if type(depth) is not int or not 0 < depth <= _MOST_BLOCKS:
        return None
    return [f"blocks.{block}.{layer}" for block in range(depth) for layer in BLOCK_LAYERS]
