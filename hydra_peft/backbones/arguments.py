"""Arguments of timm's constructors that are nobody's to give; no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra_peft.backbones.image_sizes import check_image_size, own_size
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


def check_arguments(
    architecture: str, arguments: Mapping[str, Any], image_size: int | None
) -> None:
    """Check that ``model.arguments`` give nothing that a key of ours sets, or that is the same for
    every model, and that patches cover the model's images.

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
        # A model of the meta device, on which fits are tried, takes any number of them.
        if name.endswith("_size") and isinstance(value, list) and len(value) != 2:
            raise UserError(f"{said} a size is one number, or two for height and width.")
    own = own_size(architecture)
    if "patch_size" in arguments and image_size is None and own is not None:
        check_image_size(own, architecture, arguments)
