"""Writing the backbone's weights with a header that says how they were made."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from hydra_peft.tensor_files import write_tensors


def backbone_tensors(backbone: nn.Module) -> dict[str, Tensor]:
    """Return the float32 state dict of a timm vision transformer, without any `head.` entry."""
    return {
        name: value.detach().to(torch.float32)
        for name, value in backbone.state_dict().items()
        if not name.startswith("head.")
    }


def write_weights(path: Path, backbone: nn.Module, metadata: dict[str, str]) -> None:
    """Write the backbone to `path` as safetensors; a reader never sees a half-written file.

    Raises OSError when the folder cannot be made or written; no partial file is left then.
    """
    write_tensors(path, backbone_tensors(backbone), metadata)
