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
#: what is a number, or a list of them, in each model of timm's that has it
ARGUMENTS = ("patch_size", "embed_dim", "depth", "num_heads", "mlp_ratio", "reg_tokens")
#: how names end of what is no text in any: most have a number, some may be null
_NO_TEXT = ("_rate", "_ratio", "_ratios", "_dim", "_dims", "_value", "_values", "_tokens")


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
        is_text = isinstance(value, str) and name.endswith(_NO_TEXT)
        if name in ARGUMENTS or name.endswith("_rate") or is_text:
            check_number(name, value)
        # A model of the meta device, on which fits are tried, takes any number of them.
        if name.endswith("_size") and isinstance(value, list) and len(value) != 2:
            raise UserError(f"{said} a size is one number, or two for height and width.")
    own = own_size(architecture)
    if "patch_size" in arguments and image_size is None and own is not None:
        check_image_size(own, architecture, arguments)
        sides = arguments["patch_size"]
        for side in sides if isinstance(sides, list | tuple) else ():
            check_image_size(own, architecture, {**arguments, "patch_size": side})


def check_number(name: str, value: Any, *, whole: bool = False, listed: bool = True) -> None:
    """Check that an argument is a number.

    Args:
        name: of the argument.
        value: given for it.
        whole: whether it has to be a whole one.
        listed: whether it may be a list of numbers.

    Raises:
        UserError: it is none.
    """
    items = value if listed and isinstance(value, list | tuple) else [value]
    kinds = int if whole else int | float
    if not items or not all(isinstance(i, kinds) and not isinstance(i, bool) for i in items):
        shown = "null" if value is None else quoted(value, str)
        raise UserError(
            f"model.arguments.{name}={shown} is not allowed: it must be "
            f"{'a whole number' if whole else 'a number'}; leave it out for the model's own."
        )
