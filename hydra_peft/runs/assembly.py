"""From a checked config to an adapted model and its data: what training and scoring share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from hydra_peft.adaptation.injection import inject
from hydra_peft.config.schema import DatasetConfig, ModelConfig, RunConfig
from hydra_peft.data.resize import resize_split
from hydra_peft.data.sources import check_source, load_task
from hydra_peft.data.splits import TaskData, check_task
from hydra_peft.errors import UserError
from hydra_peft.methods._base import Method
from hydra_peft.models.architectures import build_architecture, input_size, normalization
from hydra_peft.models.backbones import Weights, build_backbone, check_weights_exist
from hydra_peft.training.batches import Normalizer
from hydra_peft.training.devices import resolve_device
from hydra_peft.training.seeding import derive_seed, seed_everything


def check_run(config: RunConfig) -> None:
    """Check what can be checked without loading anything: that the parts fit each other.

    The model is built without storage (on torch's meta device), so a rank that exceeds a layer or
    a target that no layer has is found here, before weights and data are touched.

    Raises:
        UserError: the parts do not fit, or the weights file or the device is not there.
    """
    resolve_device(config.device)
    check_source(config.dataset.source)
    model, arguments = config.model, config.model.arguments
    with torch.device("meta"):
        skeleton = build_architecture(model.architecture, arguments, drop_path=model.drop_path)
        cast(Any, skeleton).reset_classifier(config.dataset.classes)
        inject(skeleton, config.method)
        _check_logits(skeleton, config.dataset.classes)
    if model.pretrained:
        check_weights_exist(model.architecture, model.checkpoint, model.url)


def _check_logits(skeleton: nn.Module, classes: int) -> None:
    height, width = input_size(skeleton)
    logits = skeleton.eval()(torch.empty(1, 3, height, width, device="meta"))
    if tuple(logits.shape) != (1, classes):
        raise UserError(
            f"this model gives outputs of shape {tuple(logits.shape)} for one image where "
            f"(1, {classes}) logits are needed: see model.arguments."
        )


def load_backbone(model: ModelConfig, seed: int) -> tuple[nn.Module, Weights]:
    """Return a fresh copy of the backbone of ``model``, and where its weights come from.

    Raises:
        UserError: weights that are missing or do not fit.
    """
    return build_backbone(
        model.architecture,
        arguments=model.arguments,
        drop_path=model.drop_path,
        checkpoint=model.checkpoint,
        pretrained=model.pretrained,
        seed=derive_seed(seed, "backbone"),
        url=model.url,
    )


@dataclass(frozen=True)
class AdaptedModel:
    """An adapted model with what is needed to feed it.

    Attributes:
        model: on ``device``, head included.
        size: height and width of its images in pixels.
        normalize: turns uint8 images into its input.
        layers: names of the adapted layers.
    """

    model: nn.Module
    size: tuple[int, int]
    normalize: Normalizer
    layers: tuple[str, ...]


def build_model(
    backbone: nn.Module, method: Method, *, classes: int, seed: int, device: torch.device
) -> AdaptedModel:
    """Return ``backbone`` with a fresh head and ``method`` injected, on ``device``.

    Head and adapter start from streams of their own derived from ``seed``.

    Raises:
        UserError: a method that does not fit.
    """
    seed_everything(derive_seed(seed, "head"))
    # timm's reset leaves torch's default initialisation of a linear layer, as the paper's code has.
    cast(Any, backbone).reset_classifier(classes)
    seed_everything(derive_seed(seed, "adapter"))
    done = inject(backbone, method)
    mean, std = normalization(backbone)
    return AdaptedModel(
        backbone.to(device),
        input_size(backbone),
        Normalizer(mean, std, device),
        done.layers,
    )


def load_data(
    dataset: DatasetConfig, *, cache: Path, size: tuple[int, int], splits: set[str]
) -> TaskData:
    """Return the named splits of a task, checked against its yaml and resized to ``size``.

    Raises:
        UserError: data that is missing, damaged, or not what the yaml promises.
    """
    data = load_task(dataset.source, dataset.name, cache)
    name = f"{dataset.benchmark}/{dataset.name}"
    check_task(data, name=name, classes=dataset.classes, test_size=dataset.test_size)
    resized = {key: resize_split(data.splits[key], size) for key in splits}
    return TaskData(resized, data.sha256)


def check_batches(count: int, batch_size: int, drop_last: bool) -> None:
    """Check that an epoch has at least one batch.

    Raises:
        UserError: ``drop_last`` leaves none.
    """
    if drop_last and batch_size > count:
        raise UserError(
            f"train.batch_size={batch_size} with train.drop_last=true leaves no batch of "
            f"{count} training images: lower it, or set train.drop_last=false."
        )
