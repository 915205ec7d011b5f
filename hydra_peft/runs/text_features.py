"""Features of a task's prompts: computed once for each backbone, kept, and checked when read."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import torch
from torch import Tensor, nn

from hydra_peft.backbones.text_files import EMBEDDED_TEXT, features_file, hub_tag, whole_clip
from hydra_peft.config.schema import RunConfig
from hydra_peft.errors import UserError
from hydra_peft.files import sha256_of
from hydra_peft.heads.text_prompts import TextPrompts
from hydra_peft.plain_text import quoted
from hydra_peft.tensor_files import read_tensors_and_metadata, write_tensors

log = logging.getLogger("hydra_peft")

_NAME = "features"


def text_features(config: RunConfig, backbone: nn.Module, weights: str) -> Tensor | None:
    """Return the features of the prompts of ``config``, ``[classes, width]``; None if it has none.

    They are taken from ``paths.cache`` where they are kept, so that the text tower's package is
    needed once for each task and tower.

    Args:
        config: of the run.
        backbone: its image tower, without a head.
        weights: sha256 of the backbone's weights.

    Raises:
        UserError: the tower is missing or another backbone's, or so are the features that are kept.
    """
    head, model = config.head, config.model
    if not isinstance(head, TextPrompts):
        return None
    prompts = head.texts()
    given = whole_clip(model.checkpoint, model.text_checkpoint)
    file = None if model.text_tower in EMBEDDED_TEXT else given
    path = features_file(Path(config.paths.cache), prompts, weights, _hash(file, model.text_sha256))
    about = {"backbone": weights, "prompts": prompts.sha256, "tower": str(model.text_tower)}
    if not path.is_file():
        from hydra_peft.backbones.text_towers import prompt_features

        assert model.text_tower is not None, "checked with the config"
        log.info("computing features of %d classes with %s", len(prompts.names), model.text_tower)
        found = prompt_features(
            prompts,
            model.text_tower,
            checkpoint=file,
            tag=hub_tag(model.architecture),
            backbone=backbone,
            antialias=model.antialias,
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(path, {_NAME: found}, {**about, "sha256": tensor_sha256(found)})
    return _read(path, about, len(prompts.names))


def _hash(file: Path | None, promised: str | None) -> str | None:
    """Return the hash of the text tower's file, checked; None where there is no file."""
    found = None if file is None else sha256_of(file, links=True)
    if promised not in (None, found):
        raise UserError(
            f"model.text_checkpoint={file} is not the file that this run's config names: its "
            f"sha256 is {str(found)[:12]}, model.text_sha256 says {promised[:12]}."
        )
    return found


def tensor_sha256(features: Tensor) -> str:
    """Return the hash of float32 ``features``: size and bytes."""
    values = features.detach().to("cpu", torch.float32).contiguous()
    digest = hashlib.sha256(f"{tuple(values.shape)}\n".encode())
    digest.update(values.numpy().tobytes())
    return digest.hexdigest()


def _short(value: str) -> str:
    """Return a name, or the begin of a hash."""
    return value[:24]


def _read(path: Path, expected: dict[str, str], classes: int) -> Tensor:
    tensors, said = read_tensors_and_metadata(path)
    for what, value in expected.items():
        if said.get(what) != value:
            raise UserError(
                f"{path} has features of texts of another {what} "
                f"({quoted(_short(said.get(what, 'not said')))}, this run's is {_short(value)}): "
                "remove it, and they are computed anew."
            )
    features = tensors.get(_NAME)
    # Forged ones may be anything that has a hash.
    if (
        features is None
        or features.ndim != 2
        or len(features) != classes
        or features.dtype != torch.float32
        or not bool(features.isfinite().all())
        or tensor_sha256(features) != said.get("sha256")
    ):
        raise UserError(f"{path} is damaged: remove it, and the features are computed anew.")
    return features
