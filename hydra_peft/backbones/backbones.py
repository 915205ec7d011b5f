"""A backbone with its weights, loaded once a process, handed out as a fresh copy each time."""

from __future__ import annotations

import copy
import json
import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlparse

import torch
from torch import nn

from hydra_peft.adaptation.fingerprint import weights_hash
from hydra_peft.backbones.architectures import build_architecture
from hydra_peft.backbones.checkpoints import check_checkpoint, load_checkpoint
from hydra_peft.backbones.projection import (
    ProjectedVisionTransformer,
    check_no_classifier,
    checkpoint_filter_fn,
)
from hydra_peft.backbones.quick_gelu import check_activation
from hydra_peft.backbones.vit_mini import EMBEDDED
from hydra_peft.backbones.weight_files import (
    check_weights_exist,
    local_file,
    missing_weights,
    stated_origin,
)
from hydra_peft.errors import UserError
from hydra_peft.files import named_path
from hydra_peft.memo import memo

#: backbones kept in memory at once; a sweep over more loads them in turn
KEPT = 2
_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")


@dataclass(frozen=True)
class Weights:
    """Origin of a backbone's weights: a name, a file or random, with their sha256.

    Attributes:
        kind: ``pretrained`` or ``random``.
        source: the file or hub name, or the seed of random ones.
        sha256: over the backbone's tensors as loaded, head left out.
        origin: a sentence on whose they are, as the json beside a prepared file has it; else "".
    """

    kind: str
    source: str
    sha256: str
    origin: str = ""


def weights_source(architecture: str, checkpoint: str | None, pretrained: bool, seed: int) -> str:
    """Return in words where :func:`build_backbone` takes the weights from."""
    if not pretrained:
        return f"random, seed {seed}"
    if checkpoint is not None:
        return os.path.realpath(named_path(checkpoint, "model.checkpoint"))
    return f"embedded {architecture}" if architecture in EMBEDDED else f"timm hub {architecture}"


def build_backbone(
    architecture: str,
    *,
    arguments: Mapping[str, Any],
    drop_path: float,
    checkpoint: str | None,
    pretrained: bool,
    seed: int,
    remedy: str | None = None,
    image_size: int | None = None,
    antialias: bool = True,
    projection: int | None = None,
) -> tuple[nn.Module, Weights]:
    """Return a backbone without head, and where its weights come from.

    Weights are read (or drawn) once a process; each call returns its own copy of them.

    Args:
        architecture: timm's or an embedded name.
        arguments: further constructor arguments.
        drop_path: stochastic depth rate while training.
        checkpoint: local file, or None for the embedded weights or the hub.
        pretrained: false draws random weights from ``seed``.
        seed: of random weights; not used for pretrained ones.
        remedy: what a person can do where the weights are missing, for the message.
        image_size: side of the images in pixels; None for the architecture's own.
        antialias: how a file's position embeddings are resampled, see
            :func:`~hydra_peft.backbones.checkpoints.load_checkpoint`.
        projection: width of CLIP's projection, see
            :func:`~hydra_peft.backbones.architectures.build_architecture`.

    Raises:
        UserError: an unknown architecture, weights that are missing or do not fit, or those of a
            CLIP that computes another activation.
    """
    source = weights_source(architecture, checkpoint, pretrained, seed)
    file = local_file(architecture, checkpoint) if pretrained else None
    there = file is not None and os.path.isfile(file)
    stamp = (file.stat().st_mtime_ns, file.stat().st_size) if file and there else None
    shape = [architecture, dict(arguments), drop_path, image_size, antialias, projection]

    def load() -> tuple[nn.Module, Weights]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = build_architecture(
                architecture,
                arguments,
                drop_path=drop_path,
                image_size=image_size,
                projection=projection,
            )
        if pretrained:
            check_activation(model, architecture, file, projected=projection is not None)
        if file is not None:
            _load_file(model, architecture, file, remedy, antialias)
        elif pretrained:
            sized = {} if image_size is None else {"img_size": image_size}
            given = {**arguments, **sized}
            _load_from_hub(model, architecture, given, remedy, antialias, projection)
        kind = "pretrained" if pretrained else "random"
        origin = stated_origin(file) if file is not None else ""
        return model, Weights(kind, source, weights_hash(model.state_dict()), origin)

    template, weights = _template(load, json.dumps([*shape, source, stamp], sort_keys=True))
    return copy.deepcopy(template), weights


@memo(KEPT, key=lambda load, of: of)  # noqa: ARG005
def _template(load: Callable[[], tuple[nn.Module, Weights]], of: str) -> tuple[nn.Module, Weights]:  # noqa: ARG001
    return load()


def forget_backbones() -> None:
    """Free what :func:`build_backbone` keeps in memory: this process needs no more models."""
    _template.found.clear()


def check_weights(
    architecture: str,
    *,
    arguments: Mapping[str, Any],
    drop_path: float,
    checkpoint: str | None,
    remedy: str | None,
    image_size: int | None = None,
    antialias: bool = True,
    projection: int | None = None,
) -> None:
    """Check that pretrained weights are there and fit the architecture.

    Of a local file no more than its headers are read. Of the hub, or its local cache, only loading
    tells: the backbone is kept for the next :func:`build_backbone`.

    Args:
        architecture, arguments, drop_path, checkpoint, remedy, image_size, antialias, projection:
            as of :func:`build_backbone`.

    Raises:
        UserError: as of :func:`build_backbone`.
    """
    file = local_file(architecture, checkpoint)
    if file is None:
        build_backbone(
            architecture,
            arguments=arguments,
            drop_path=drop_path,
            checkpoint=None,
            pretrained=True,
            seed=0,
            remedy=remedy,
            image_size=image_size,
            antialias=antialias,
            projection=projection,
        )
        return
    check_weights_exist(architecture, checkpoint, remedy)
    with torch.device("meta"):
        skeleton = build_architecture(
            architecture, arguments, image_size=image_size, projection=projection
        )
    projected = projection is not None
    check_activation(skeleton, architecture, file, projected=projected, warn=False)
    check_checkpoint(skeleton, file, antialias=antialias)


def _load_file(
    model: nn.Module, architecture: str, file: Path, remedy: str | None, antialias: bool
) -> None:
    if not os.path.isfile(file):
        raise UserError(
            missing_weights(f"{file} is not there or is not a file", architecture, remedy)
        )
    load_checkpoint(model, file, antialias=antialias)


def _load_from_hub(
    model: nn.Module,
    architecture: str,
    arguments: Mapping[str, Any],
    remedy: str | None,
    antialias: bool,
    projection: int | None,
) -> None:
    if not antialias:
        raise UserError(
            "model.antialias=false is for weights in a file, and timm's hub resamples in its own "
            "way: set model.checkpoint=<file>, or leave model.antialias out."
        )
    try:
        loaded = ask_hub(architecture, arguments, projection or 0)
    # No network, no such file, no access: each comes as another kind of exception.
    except Exception as error:
        reason = type(error).__name__
        raise UserError(
            missing_weights(f"timm's hub did not give the weights ({reason})", architecture, remedy)
        ) from None
    state = loaded.state_dict()
    if projection is not None:
        assert isinstance(model, ProjectedVisionTransformer), "it has kept a projection"
        stated = cast(Mapping[str, Any], loaded.pretrained_cfg)["num_classes"]
        if stated != projection:
            raise UserError(
                f"model.projection={projection} is not what {architecture} has: timm states "
                f"{stated} outputs."
            )
        check_no_classifier(state, f"timm hub {architecture}")
        state = checkpoint_filter_fn(state, model)
    model.load_state_dict(state)


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
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    # Offline, the local cache still serves, and a missing file is known at once, not after a
    # minute of retries.
    constants.HF_HUB_OFFLINE = before or not _reachable(constants.ENDPOINT)
    try:
        return timm.create_model(architecture, pretrained=True, num_classes=classes, **arguments)
    finally:
        constants.HF_HUB_OFFLINE = before


def _reachable(endpoint: str) -> bool:
    """Whether the host of ``endpoint`` has an address; behind a proxy only the proxy knows."""
    if any(os.environ.get(name) for name in _PROXIES):
        return True
    try:
        socket.getaddrinfo(urlparse(endpoint).hostname, 443)
    except OSError:
        return False
    return True
