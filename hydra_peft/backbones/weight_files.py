"""Find the file of a backbone's weights; no torch, and no values are read."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

from hydra_peft.backbones.adapter_files import check_no_adapter
from hydra_peft.backbones.transformers_folder import WEIGHTS, weights_in
from hydra_peft.backbones.vit_mini import EMBEDDED
from hydra_peft.errors import UserError
from hydra_peft.files import named_path, read_json
from hydra_peft.links import missing
from hydra_peft.plain_text import shortened

ASSETS = Path(__file__).resolve().parent.parent / "assets"
#: characters of what is said of an origin
_LONGEST = 300
SUFFIXES = (".npz", ".safetensors", ".pth", ".pt", ".bin")


def local_file(architecture: str, checkpoint: str | None) -> Path | None:
    """Return the file that pretrained weights come from; None where a hub is asked.

    Args:
        checkpoint: a file, or a folder in Hugging Face form.

    Raises:
        UserError: ``checkpoint`` is no path, an adapter, or a folder whose weights are not read.
    """
    if checkpoint is not None:
        path = named_path(checkpoint, "model.checkpoint")
        check_no_adapter(path, WEIGHTS)
        return weights_in(path) if os.path.isdir(path) else path
    return ASSETS / f"{architecture}.safetensors" if architecture in EMBEDDED else None


def check_weights_exist(architecture: str, checkpoint: str | None, remedy: str | None) -> None:
    """Check, without reading values, that a local checkpoint is there.

    Raises:
        UserError: it is not; the message says what to do, which ``remedy`` is, if given.
    """
    file = local_file(architecture, checkpoint)
    if file is None:
        return
    if not os.path.isfile(file):
        raise UserError(
            missing_weights(missing(file, "is not there or is not a file"), architecture, remedy)
        )
    check_suffix(file)
    _check_beginning(file)


def _check_beginning(file: Path) -> None:
    """Check that a file may be what the ending of its name says, of those that say it in a few
    bytes."""
    size = os.path.getsize(file)
    if file.suffix == ".npz" and not zipfile.is_zipfile(file):
        raise UserError(
            f"cannot open {file} as .npz: it is truncated, pickled, of another format or not "
            "readable; fetch it again."
        )
    if file.suffix == ".safetensors" and os.access(file, os.R_OK):
        with open(file, "rb") as opened:
            header = int.from_bytes(opened.read(8), "little")
        if not 0 < header <= size - 8:
            raise UserError(
                f"cannot read {file}: truncated or not a safetensors file; fetch or make it again."
            )


def check_suffix(path: Path) -> None:
    """Check that the ending of a checkpoint's name is one of :data:`SUFFIXES`."""
    if path.suffix not in SUFFIXES:
        raise UserError(
            f"model.checkpoint={path} has the unknown ending '{path.suffix}': expected one of "
            f"{', '.join(SUFFIXES)}."
        )


def stated_origin(file: Path) -> str:
    """Return what the json beside a file of weights says of their origin, "" without one.

    Raises:
        UserError: that json is none.
    """
    beside = file.with_suffix(".json")
    if not os.path.isfile(beside):
        return ""
    said = read_json(beside, links=True).get("origin", "")
    return shortened(said, _LONGEST) if isinstance(said, str) else ""


def missing_weights(what: str, architecture: str, remedy: str | None) -> str:
    """Return the sentence on ``what`` keeps weights away, with how to get them."""
    usual = "fetch a checkpoint of this architecture and set model.checkpoint=<file>"
    return f"no weights for '{architecture}': {what}; {remedy or or_random(usual)}."


def or_random(remedy: str) -> str:
    """Return ``remedy`` with the other one that a run which is to be trained has."""
    return f"{remedy}, or set model.pretrained=false for random weights"
