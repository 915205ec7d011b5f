"""Sizes of images that an architecture takes, as far as its name says; no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from hydra_peft.backbones.vit_mini import EMBEDDED
from hydra_peft.errors import UserError
from hydra_peft.limits import Limits

#: a side in pixels; the largest that models in timm were trained with is 1,280
ImageSize = Annotated[int, Limits(least=1, most=4096)]
#: timm ends the names of models that have patches with the size of their images
_SIZE = re.compile(r"patch\d+\w*_(\d{2,4})$")
_PATCH = re.compile(r"patch(\d+)")
#: timm gives DINOv2's models one size, that of their last training, and does not name it
_DINOV2, _DINOV2_SIZE = "_dinov2", 518


def own_size(architecture: str) -> int | None:
    """Return the side in pixels that a model takes if nothing is said; None where not known."""
    if architecture in EMBEDDED:
        return int(EMBEDDED[architecture][1]["img_size"])
    name = architecture.split(".")[0]
    if _DINOV2 in name:
        return _DINOV2_SIZE
    named = _SIZE.search(name)
    return int(named[1]) if named else None


def patch_size(architecture: str, arguments: Mapping[str, Any]) -> int | None:
    """Return the side of a patch in pixels; None where neither name nor arguments say it."""
    given = arguments.get("patch_size", EMBEDDED.get(architecture, ("", {}))[1].get("patch_size"))
    if given is not None:
        return given if type(given) is int and given > 0 else None
    named = _PATCH.search(architecture.split(".")[0])
    return int(named[1]) if named else None


def check_image_size(size: int, architecture: str, arguments: Mapping[str, Any]) -> None:
    """Check ``model.image_size`` as far as that can be done without building the model.

    Raises:
        UserError: it is given twice, or it is no multiple of the patches.
    """
    if "img_size" in arguments:
        raise UserError(
            f"model.image_size={size} and model.arguments.img_size={arguments['img_size']} say the "
            "same thing twice: leave the second out."
        )
    patch = patch_size(architecture, arguments)
    if patch is not None:
        check_multiple(size, patch, architecture)


def check_multiple(size: int, patch: int, architecture: str) -> None:
    """Check that patches of ``patch`` pixels cover a side of ``size`` pixels."""
    if size % patch:
        fewer = size // patch * patch
        near = f"{fewer} or {fewer + patch}" if fewer else str(patch)
        raise UserError(
            f"model.image_size={size} is not allowed: it must be a multiple of {patch}, the patch "
            f"of {architecture} in pixels, such as {near}."
        )
