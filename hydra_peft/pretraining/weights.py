"""Writing the backbone's weights with a header that says how they were made."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn


def backbone_tensors(backbone: nn.Module) -> dict[str, Tensor]:
    """Return the float32 state dict of a timm vision transformer, without any `head.` entry."""
    return {
        name: value.detach().to(torch.float32).contiguous().clone()
        for name, value in backbone.state_dict().items()
        if not name.startswith("head.")
    }


def write_weights(path: Path, backbone: nn.Module, metadata: dict[str, str]) -> None:
    """Write the backbone to `path` as safetensors; a reader never sees a half-written file.

    Raises OSError when the folder cannot be made or written; no partial file is left then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    os.close(handle)
    try:
        save_file(backbone_tensors(backbone), name, metadata=metadata)
        # Temporary files are private; the weights are meant for every reader.
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
