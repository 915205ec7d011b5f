"""Files of a peft adapter, and what its config says in our words; no torch."""

from __future__ import annotations

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


def lora_options(folder: Path) -> dict[str, Any]:
    """Return options of ``method=lora``, less ``targets``, that compute as the adapter does.

    Raises:
        UserError: the folder has no such adapter, one in a pickle, or one that is no plain LoRA.
    """
    for name in (CONFIG, TENSORS):
        if not (folder / name).is_file():
            raise UserError(_missing(folder, name))
    path = folder / CONFIG
    config = read_json(path, links=True)  # hubs keep what they fetched behind links
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


def modules_saved(folder: Path) -> list[str]:
    """Return the ends of the names of the modules that were saved whole beside the adapter."""
    said = read_json(folder / CONFIG, links=True).get("modules_to_save")
    return [name for name in said if isinstance(name, str)] if isinstance(said, list) else []


def _missing(folder: Path, name: str) -> str:
    if name == TENSORS and (folder / _PICKLE).is_file():
        return (
            f"{folder} has its tensors in {_PICKLE}, a pickle, which can run code: save it again "
            "with peft's save_pretrained(folder, safe_serialization=True)."
        )
    shown = in_one_line(str(folder))
    return f"{shown} has no {name}: give the folder of a peft adapter, which has {CONFIG}."
