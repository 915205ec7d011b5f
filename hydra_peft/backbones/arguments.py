"""Arguments of timm's constructors that are nobody's to give; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra_peft.errors import UserError
from hydra_peft.plain_text import quoted

#: the key of ours that sets each
_KEYS = {
    "img_size": "model.image_size",
    "drop_path_rate": "model.drop_path",
    "pretrained": "model.pretrained",
    "checkpoint_path": "model.checkpoint",
    "num_classes": "dataset.classes",
    "device": "device",
    "dtype": "precision",
}


def check_arguments(arguments: Mapping[str, Any]) -> None:
    """Check that ``model.arguments`` give nothing that a key of ours sets, or that is the same for
    every model.

    Records of earlier code have some, and are read as they are.

    Raises:
        UserError: they do.
    """
    for name, value in arguments.items():
        said = f"model.arguments.{name}={quoted(value, str)} is not allowed:"
        if name in _KEYS:
            raise UserError(f"{said} that is set by {_KEYS[name]}, so give it there.")
        if name == "in_chans":
            raise UserError(f"{said} images have three channels for every model, so leave it out.")
