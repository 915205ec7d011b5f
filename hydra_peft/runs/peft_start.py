"""The start of a run from a LoRA that the peft library saved (``init_from=<its folder>``)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hydra_peft.adaptation.peft_files import CONFIG, TENSORS, lora_options
from hydra_peft.config.identity import short_hash
from hydra_peft.config.schema import InitFrom, RunConfig
from hydra_peft.errors import UserError
from hydra_peft.files import sha256_of
from hydra_peft.methods import build_method
from hydra_peft.runs.folder import holds_record

#: in the places of a run's id and task
PEFT = "peft"


def is_peft_folder(folder: Path) -> bool:
    """Whether ``folder`` is of peft's form, and no run."""
    return os.path.isfile(folder / CONFIG) and not holds_record(folder)


def origin_of_peft(folder: Path) -> InitFrom:
    """Return what identifies the start from the LoRA in ``folder``: its tensors and its options.

    Raises:
        UserError: it is no plain LoRA, or its tensors are in a pickle.
    """
    options = lora_options(folder)
    saved = sha256_of(folder / TENSORS, links=True)
    return InitFrom(
        folder=str(folder),
        config_id=PEFT,
        adapter=saved,
        task=PEFT,
        settings=short_hash({"adapter": saved, **options}),
    )


def check_peft_start(config: RunConfig, start: InitFrom) -> None:
    """Check that the LoRA is still what it was, and that the run's method computes as it does.

    Layers and shapes are compared where it is taken.

    Raises:
        UserError: it is not, or does not.
    """
    folder = Path(start.folder)
    if origin_of_peft(folder) != start:
        raise UserError(f"{TENSORS} or {CONFIG} there were changed since this run was composed.")
    options, own = lora_options(folder), vars(config.method)
    theirs = build_method("lora", **options)
    alike = (
        config.method.name == "lora"
        and not own["parts"]
        and own["init"] != "pissa"
        and all(own[key] == options[key] for key in ("rank", "bias"))
        and abs(_scale(config.method) - _scale(theirs)) <= 1e-9 * abs(_scale(theirs))
    )
    if not alike:
        keys = ("rank", "scale", "rank_scale", "bias", "init")
        words = " ".join(f"method.{key}={_typed(options[key])}" for key in keys)
        raise UserError(
            f"that is a LoRA of peft's, and this run's {config.method.label} does not compute as "
            f"it does: set method=lora {words}, method.parts=[], and its layers as method.targets."
        )


def _scale(method: Any) -> float:
    return float(method.branch_options()["scale"])


def _typed(value: object) -> str:
    """Return ``value`` as one types it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)
