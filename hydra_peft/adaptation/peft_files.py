"""Files of a peft adapter, and what its config says in our words; no torch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hydra_peft.errors import UserError
from hydra_peft.files import read_json
from hydra_peft.finite import is_finite
from hydra_peft.plain_text import in_one_line, quoted

#: names that peft looks for
TENSORS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
#: what peft puts before the names of the model's own
PREFIX = "base_model.model"
#: what a file of ours says of the backbone, in its header
BACKBONE = "hydra_peft_backbone"
_PICKLE = "adapter_model.bin"
#: options of peft's that make something else of LoRA, with the value that leaves it alone
_ALONE: dict[str, tuple[object, ...]] = {
    "use_dora": (False, None),
    "bias": ("none", None),
    "fan_in_fan_out": (False, None),
    "rank_pattern": ({}, None),
    "alpha_pattern": ({}, None),
    "use_qalora": (False, None),
    "use_bdlora": (None,),
    "alora_invocation_tokens": (None,),
    "trainable_token_indices": (None,),
    "target_parameters": (None, []),
    "layer_replication": (None,),
}
#: starts that leave the backbone's weights alone; those of PiSSA, OLoRA, CorDA, LoftQ change them
_STARTS = (True, False, None, "gaussian", "orthogonal", "eva")
#: what says which modules are adapted and which are saved whole, and what of it may be one value
_NAMES: dict[str, tuple[type[str | int], type[str | int] | None]] = {
    "target_modules": (str, str),
    "exclude_modules": (str, str),
    "layers_to_transform": (int, int),
    "layers_pattern": (str, str),
    "modules_to_save": (str, None),
}
_IN_WORDS: dict[type[str | int], str] = {str: "names", int: "whole numbers"}


def saved_config(folder: Path) -> dict[str, Any]:
    """Return the config of the adapter in ``folder``; what it says of modules is of its types.

    Raises:
        UserError: the folder has no adapter, or one in a pickle; or names of modules are none.
    """
    for name in (CONFIG, TENSORS):
        if not os.path.isfile(folder / name):  # as pathlib's, but for names that are too long
            raise UserError(_missing(folder, name))
    path = folder / CONFIG
    config = read_json(path, links=True)  # hubs keep what they fetched behind links
    for key, (kind, alone) in _NAMES.items():
        value = config.get(key)
        listed = isinstance(value, list) and all(type(entry) is kind for entry in value)
        if value is not None and type(value) is not alone and not listed:
            one = "" if alone is None else ", or one" if alone is int else ", or an expression"
            raise UserError(
                f"{path} has {key}={quoted(value)}: expected a list of {_IN_WORDS[kind]}{one}; "
                "save it again with peft."
            )
    return config


def lora_options(folder: Path) -> dict[str, Any]:
    """Return options of ``method=lora``, less ``targets``, that compute as the adapter does.

    Raises:
        UserError: as of :func:`saved_config`; or the adapter is no plain LoRA.
    """
    path, config = folder / CONFIG, saved_config(folder)
    kind = config.get("peft_type")
    if kind != "LORA":
        raise UserError(
            f"{path} is of peft_type={quoted(kind)}, and only LORA is read: merge it with peft "
            "(merge_and_unload) and start from those weights."
        )
    for key, usual in _ALONE.items():
        if config.get(key) not in usual:
            raise UserError(
                f"{path} has {key}={quoted(config[key])}, which our LoRA does not compute: merge "
                "it with peft (merge_and_unload) and start from those weights."
            )
    if (start := config.get("init_lora_weights", True)) not in _STARTS:
        raise UserError(
            f"{path} has init_lora_weights={quoted(start)}, which changes the backbone's weights: "
            "save it with peft's path_initial_model_for_weight_conversion first."
        )
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if type(rank) is not int or rank < 1 or not is_finite(alpha) or not alpha:
        raise UserError(
            f"{path} has r={quoted(rank)} and lora_alpha={quoted(alpha)}: expected a positive "
            "whole number and a number other than 0."
        )
    dropout = config.get("lora_dropout") or 0.0
    if not is_finite(dropout):
        raise UserError(f"{path} has lora_dropout={quoted(dropout)}: expected a number.")
    for key in ("use_rslora", "lora_bias"):
        if config.get(key) not in (True, False, None):
            raise UserError(f"{path} has {key}={quoted(config[key])}: expected true or false.")
    root = bool(config.get("use_rslora"))
    return {
        "rank": rank,
        "scale": float(alpha),
        "rank_scale": "alpha_over_sqrt_r" if root else "alpha_over_r",
        "dropout": float(dropout),
        "dropout_at": "input",
        "bias": bool(config.get("lora_bias")),
        "init": "kaiming",
    }


def _missing(folder: Path, name: str) -> str:
    if name == TENSORS and os.path.isfile(folder / _PICKLE):
        return (
            f"{folder} has its tensors in {_PICKLE}, a pickle, which can run code: save it again "
            "with peft's save_pretrained(folder, safe_serialization=True)."
        )
    shown = in_one_line(str(folder))
    return f"{shown} has no {name}: give the folder of a peft adapter, which has {CONFIG}."
