"""QuickGELU or GELU: which of both a CLIP's weights were trained with, and its model computes.

``x sigmoid(1.702 x)`` is what OpenAI's weights were trained with, and some of others'. The other
activation gives slightly wrong features and no error. The tensors do not tell, the weights' names
and the files that hubs keep beside them do.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import timm
from timm.layers.activations import QuickGELU
from torch import nn

from hydra_peft.errors import UserError
from hydra_peft.files import read_json

log = logging.getLogger("hydra_peft")

_MARK, _PLACE = "_clip_quickgelu_", "_clip_"
#: beside weights from a hub: timm's description, and open_clip's
_TIMMS, _OPEN_CLIPS = "config.json", "open_clip_config.json"


def check_activation(
    model: nn.Module, architecture: str, file: Path | None, *, projected: bool, warn: bool = True
) -> None:
    """Check that ``model`` computes the activation that its weights were trained with.

    Args:
        model: of ``architecture``; it needs no storage.
        architecture: timm's name, with or without a tag.
        file: of the weights; None for the hub's.
        projected: whether the model is used as an image tower of CLIP (``model.projection``); then
            the wrong activation is refused, otherwise it is warned of.
        warn: false says nothing where it would be warned.

    Raises:
        UserError: it is known to be the other one.
    """
    trained = None if file is None else _told_beside(file)
    trained = _told_by_name(*_parts(architecture)) if trained is None else trained
    quick = any(isinstance(part, QuickGELU) for part in model.modules())
    if trained is None or trained == quick:
        return
    sentence = (
        f"the weights of {file or architecture} were trained with {_name(trained)}, and "
        f"model.architecture={architecture} computes {_name(quick)}, which gives slightly wrong "
        f"features: take {_other(architecture, trained)}"
    )
    if projected:
        raise UserError(f"{sentence}.")
    if warn:
        log.warning("%s", sentence)


def _name(quick: bool) -> str:
    return "QuickGELU" if quick else "GELU"


def _parts(architecture: str) -> tuple[str, str]:
    base, _, tag = architecture.partition(".")
    return base, tag


def _other(architecture: str, quick: bool) -> str:
    base, tag = _parts(architecture)
    plain = base.replace(_MARK, _PLACE)
    name = plain.replace(_PLACE, _MARK) if quick else plain
    return f"model.architecture={name}{'.' * bool(tag)}{tag}"


def _told_by_name(base: str, tag: str) -> bool | None:
    """Whether weights of timm's are QuickGELU's, which timm has in a model of its own; None where
    nothing says so."""
    plain = base.replace(_MARK, _PLACE)
    if _PLACE not in plain or not tag:
        return None
    if timm.models.is_model_pretrained(f"{plain.replace(_PLACE, _MARK)}.{tag}"):
        return True
    return False if timm.models.is_model_pretrained(f"{plain}.{tag}") else None


def _told_beside(file: Path) -> bool | None:
    said = _read(file.with_name(_OPEN_CLIPS)).get("model_cfg")
    if isinstance(said, dict):
        return bool(said.get("quick_gelu", False))
    timms = _read(file.with_name(_TIMMS))
    name, config = timms.get("architecture"), timms.get("pretrained_cfg")
    tag = config.get("tag") if isinstance(config, dict) else None
    if not isinstance(name, str):
        return None
    told = _told_by_name(name, tag if isinstance(tag, str) else "")
    return True if told is None and _MARK in name else told


def _read(path: Path) -> dict[str, Any]:
    try:
        return read_json(path, links=True) if os.path.isfile(path) else {}
    except UserError:
        return {}  # something else of that name
