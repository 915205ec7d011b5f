"""A backbone with its weights, loaded once a process, handed out as a fresh copy each time."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from hydra_peft.adaptation.fingerprint import weights_hash
from hydra_peft.backbones.architectures import build_architecture, described, size_arguments
from hydra_peft.backbones.checkpoints import check_checkpoint, load_checkpoint
from hydra_peft.backbones.hub import ask_hub, fetched
from hydra_peft.backbones.misfits import Misfit
from hydra_peft.backbones.projection import (
    ProjectedVisionTransformer,
    check_no_classifier,
    checkpoint_filter_fn,
)
from hydra_peft.backbones.quick_gelu import check_activation
from hydra_peft.backbones.text_encoder import TextEncoder
from hydra_peft.backbones.transformers_folder import weights_in
from hydra_peft.backbones.vit_mini import EMBEDDED
from hydra_peft.backbones.weight_files import (
    check_weights_exist,
    local_file,
    missing_weights,
    stated_origin,
)
from hydra_peft.data.tokenizer import Tokenizer
from hydra_peft.data.tokenizer_files import FILE as TOKENIZER
from hydra_peft.data.tokenizer_files import tokenizer_file
from hydra_peft.errors import UserError
from hydra_peft.files import named_path
from hydra_peft.links import missing
from hydra_peft.memo import memo

#: backbones kept in memory at once; a sweep over more loads them in turn
KEPT = 2


@dataclass(frozen=True)
class Weights:
    """Origin of a backbone's weights: a name, a file or random, with their sha256.

    Attributes:
        kind: ``pretrained`` or ``random``.
        source: the file or hub name, or the seed of random ones.
        sha256: over the backbone's tensors as loaded, head left out, and its tokenizer's file where
            it has one.
        origin: a sentence on whose they are, as the json beside a prepared file has it; else "".
    """

    kind: str
    source: str
    sha256: str
    origin: str = ""


def weights_source(
    architecture: str,
    checkpoint: str | None,
    pretrained: bool,
    seed: int,
    hub: str | None = None,
) -> str:
    """Return in words where :func:`build_backbone` takes the weights from."""
    if not pretrained:
        return f"random, seed {seed}"
    if checkpoint is not None:
        return os.path.realpath(named_path(checkpoint, "model.checkpoint"))
    if hub is not None:
        return f"hub {hub}"
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
    hub: str | None = None,
    tokenizer: str | None = None,
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
        hub: repository of a text encoder on the Hugging Face hub, asked where there is no
            ``checkpoint``; None asks timm's.
        tokenizer: file or folder of a text encoder's tokenizer; None takes the one beside the
            weights, and where these are random none.
        projection: width of CLIP's projection, see
            :func:`~hydra_peft.backbones.architectures.build_architecture`.

    Raises:
        UserError: an unknown architecture, weights that are missing or do not fit, or those of a
            CLIP that computes another activation.
    """
    source = weights_source(architecture, checkpoint, pretrained, seed, hub)
    file = _file(architecture, checkpoint, hub, remedy) if pretrained else None
    spelling = _tokenizer_file(tokenizer, file)
    stamps = [_stamp(file), _stamp(spelling)]
    shape = [architecture, dict(arguments), drop_path, image_size, antialias, projection]
    shape.append(str(spelling))

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
            with _built_with(architecture, arguments):
                _load_file(model, architecture, file, remedy, antialias)
        elif pretrained:
            given = {**arguments, **size_arguments(model, image_size)}
            _load_from_hub(model, architecture, given, remedy, antialias, projection)
        kind = "pretrained" if pretrained else "random"
        origin = stated_origin(file) if file is not None else ""
        sha256 = weights_hash(model.state_dict())
        if isinstance(model, TextEncoder) and spelling is not None:
            model.use_tokenizer(read := Tokenizer(spelling))
            sha256 = hashlib.sha256(f"{sha256} {read.sha256}".encode()).hexdigest()
        return model, Weights(kind, source, sha256, origin)

    template, weights = _template(load, json.dumps([*shape, source, stamps], sort_keys=True))
    return copy.deepcopy(template), weights


def _file(
    architecture: str, checkpoint: str | None, hub: str | None, remedy: str | None
) -> Path | None:
    """Return the file of the weights, of a ``hub`` once it is fetched; None where timm asks its."""
    if checkpoint is None and hub is not None:
        return weights_in(fetched(hub, architecture, remedy))
    return local_file(architecture, checkpoint)


def _tokenizer_file(tokenizer: str | None, weights: Path | None) -> Path | None:
    """Return the file of the tokenizer that is named, or lies beside ``weights``; None without."""
    if tokenizer is not None:
        return tokenizer_file(named_path(tokenizer, "model.tokenizer"))
    beside = weights.parent / TOKENIZER if weights is not None else None
    return beside if beside is not None and os.path.isfile(beside) else None


def _stamp(file: Path | None) -> tuple[int, int] | None:
    """Return what changes where a file does; None where there is none."""
    if file is None or not os.path.isfile(file):
        return None
    return file.stat().st_mtime_ns, file.stat().st_size


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
    hub: str | None = None,
    tokenizer: str | None = None,
    projection: int | None = None,
) -> None:
    """Check that pretrained weights are there and fit the architecture.

    Of a local file no more than its headers are read. Of the hub, or its local cache, only loading
    tells: the backbone is kept for the next :func:`build_backbone`.

    Args:
        architecture, arguments, drop_path, checkpoint, remedy, image_size, antialias, hub,
        tokenizer, projection: as of :func:`build_backbone`.

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
            hub=hub,
            tokenizer=tokenizer,
            projection=projection,
        )
        return
    check_weights_exist(architecture, checkpoint, remedy)
    with torch.device("meta"):
        skeleton = build_architecture(
            architecture, arguments, image_size=image_size, projection=projection
        )
    if isinstance(skeleton, TextEncoder):
        skeleton.check_described(file)
    projected = projection is not None
    check_activation(skeleton, architecture, file, projected=projected, warn=False)
    with _built_with(architecture, arguments):
        check_checkpoint(skeleton, file, antialias=antialias)


@contextmanager
def _built_with(architecture: str, arguments: Mapping[str, Any]) -> Iterator[None]:
    """Say which arguments a model has that weights do not fit: they may be the mistake."""
    try:
        yield
    except Misfit as error:
        if not arguments:
            raise
        raise UserError(
            f"{str(error).rstrip('.')}; it was built as {described(architecture, arguments)}: "
            "change model.arguments, give weights of such a model as model.checkpoint, or set "
            "model.pretrained=false for random ones."
        ) from None


def _load_file(
    model: nn.Module, architecture: str, file: Path, remedy: str | None, antialias: bool
) -> None:
    if not os.path.isfile(file):
        raise UserError(
            missing_weights(missing(file, "is not there or is not a file"), architecture, remedy)
        )
    if isinstance(model, TextEncoder):
        model.check_described(file)
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
