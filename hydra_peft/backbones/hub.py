"""Asking the Hugging Face hub for weights, or its local cache where there is no network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from hydra_peft.backbones.transformers_folder import FILES
from hydra_peft.backbones.weight_files import missing_weights
from hydra_peft.errors import UserError
from hydra_peft.hub import offline_without_network


def ask_hub(architecture: str, arguments: Mapping[str, Any], classes: int = 0) -> nn.Module:
    """Return timm's pretrained model, from the hub or the hub's local cache.

    Args:
        architecture: timm's name.
        arguments: further constructor arguments.
        classes: outputs of its classifier, which CLIP's projection is to timm; 0 for none.

    Raises:
        Exception: whatever timm and huggingface_hub raise; they use a dozen unrelated kinds.
    """
    import timm

    with offline_without_network():
        return timm.create_model(architecture, pretrained=True, num_classes=classes, **arguments)


def fetched(repository: str, architecture: str, remedy: str | None) -> Path:
    """Return the folder with config, weights and tokenizer of a repository of the hub.

    Nothing else is fetched, so no code and no pickle.

    Raises:
        UserError: the hub does not give them, and its local cache has none.
    """
    from huggingface_hub import snapshot_download

    try:
        with offline_without_network():
            return Path(snapshot_download(repository, allow_patterns=list(FILES)))
    # No network, no such repository, no access: each comes as another kind of exception.
    except Exception as error:
        what = f"the hub did not give {repository} ({type(error).__name__})"
        raise UserError(missing_weights(what, architecture, remedy)) from None
