"""Folders in Hugging Face form: config.json, model.safetensors and tokenizer.json; no torch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hydra_peft.backbones.adapter_files import check_no_adapter
from hydra_peft.errors import UserError
from hydra_peft.files import named_path, read_json
from hydra_peft.plain_text import quoted

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
#: what is fetched from the hub
FILES = (CONFIG, WEIGHTS, "tokenizer.json")
#: ``model_type`` of the encoders that there is a backbone for
FAMILIES = ("roberta", "bert")
#: keys of config.json that decide what is computed, and are the backbone's arguments
SHAPE = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "max_position_embeddings",
    "type_vocab_size",
    "layer_norm_eps",
    "initializer_range",
    "pad_token_id",
)
#: those of them that a run may have otherwise than its weights' folder: they change no output
FREE = ("hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range")
#: ways to compute that the backbones do not have, by key of config.json, with what they do have
_NOT_OURS = {
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
    "quantization_config": None,
}
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json")


def describe_folder(checkpoint: str) -> dict[str, Any]:
    """Return the keys of ``model`` that a folder's config.json decides.

    Args:
        checkpoint: the folder, or the file of weights in it.

    Returns:
        ``name`` (the folder's), ``architecture`` and ``arguments``.

    Raises:
        UserError: it is an adapter, there is no such json, or it is of another kind of model.
    """
    path = named_path(checkpoint, "model.checkpoint")
    check_no_adapter(path, WEIGHTS)
    folder = path if os.path.isdir(path) else path.parent
    file = folder / CONFIG
    if not os.path.isfile(file):
        raise UserError(
            f"model.checkpoint={checkpoint} is no folder in Hugging Face form: {file} is not there."
        )
    config = read_json(file, links=True)
    family = config.get("model_type")
    if family not in FAMILIES:
        raise UserError(
            f"{file} is of a model of type {quoted(family)}: text encoders here are "
            f"{' and '.join(FAMILIES)}."
        )
    for key, ours in _NOT_OURS.items():
        if config.get(key, ours) != ours:
            raise UserError(
                f"{file} has {key}={quoted(config[key])}, and the backbones here have {ours}: "
                "choose another model."
            )
    arguments = {key: config[key] for key in SHAPE if config.get(key) is not None}
    return {
        "name": os.path.basename(os.path.abspath(folder)),
        "architecture": family,
        "arguments": arguments,
    }


def weights_in(folder: Path) -> Path:
    """Return the file of weights in a folder in Hugging Face form.

    Raises:
        UserError: its weights are a pickle, which is not read, or lie in several files.
    """
    file = folder / WEIGHTS
    if os.path.isfile(file):
        return file
    if os.path.isfile(folder / f"{WEIGHTS}.index.json"):
        raise UserError(
            f"model.checkpoint={folder} has its weights in several files: save the model in one "
            "(save_pretrained(<folder>, max_shard_size='100GB')) and name that folder."
        )
    if pickles := [name for name in _PICKLES if os.path.isfile(folder / name)]:
        raise UserError(
            f"model.checkpoint={folder} has its weights in {pickles[0]}, a pickle, which could run "
            f"code and is not read: a folder needs {WEIGHTS}; where the origin is trusted, "
            "transformers makes it (AutoModel.from_pretrained(...).save_pretrained(<folder>))."
        )
    return file
