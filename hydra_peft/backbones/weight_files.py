"""Find the file of a backbone's weights; no torch, nothing is read."""

from __future__ import annotations

import os
from pathlib import Path

from hydra_peft.backbones.vit_mini import EMBEDDED
from hydra_peft.errors import UserError
from hydra_peft.files import named_path

ASSETS = Path(__file__).resolve().parent.parent / "assets"
SUFFIXES = (".npz", ".safetensors", ".pth", ".pt", ".bin")


def local_file(architecture: str, checkpoint: str | None) -> Path | None:
    """Return the file that pretrained weights come from; None where a hub is asked.

    Raises:
        UserError: ``checkpoint`` is no path.
    """
    if checkpoint is not None:
        return named_path(checkpoint, "model.checkpoint")
    return ASSETS / f"{architecture}.safetensors" if architecture in EMBEDDED else None


def check_weights_exist(architecture: str, checkpoint: str | None, url: str | None) -> None:
    """Check, without reading it, that a local checkpoint is there.

    Raises:
        UserError: it is not; the message says where to fetch it and which key to set.
    """
    file = local_file(architecture, checkpoint)
    if file is None:
        return
    if not os.path.isfile(file):
        raise UserError(missing_weights(f"{file} is not there or is not a file", architecture, url))
    check_suffix(file)


def check_suffix(path: Path) -> None:
    """Check that the ending of a checkpoint's name is one of :data:`SUFFIXES`.

    Raises:
        UserError: it is not.
    """
    if path.suffix not in SUFFIXES:
        raise UserError(
            f"model.checkpoint={path} has the unknown ending '{path.suffix}': expected one of "
            f"{', '.join(SUFFIXES)}."
        )


def missing_weights(what: str, architecture: str, url: str | None) -> str:
    """Return the sentence on ``what`` keeps weights away, with where to fetch them."""
    where = f"fetch {url}" if url else "fetch a checkpoint of this architecture"
    return (
        f"no weights for '{architecture}': {what}; {where} and set model.checkpoint=<file>, or "
        "set model.pretrained=false for random weights."
    )
