"""From a checked config to an adapted model and its data: what training and scoring share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from torch import nn

from hydra_peft.adaptation.injection import inject
from hydra_peft.augmentations import Augmentation
from hydra_peft.backbones.architectures import build_architecture, described, reason
from hydra_peft.backbones.backbones import Weights, build_backbone
from hydra_peft.backbones.inputs import image_size, preparation, probe_input, text_encoding
from hydra_peft.backbones.weight_files import check_weights_exist
from hydra_peft.config.schema import (
    DataConfig,
    DatasetConfig,
    ModelConfig,
    RunConfig,
)
from hydra_peft.data.drawn import Drawing, load_drawn
from hydra_peft.data.feeding import prepare_split
from hydra_peft.data.overlap import check_apart, check_labels
from hydra_peft.data.promises import check_promises
from hydra_peft.data.sources import DataRequest
from hydra_peft.data.split import Split
from hydra_peft.data.split_roles import SplitRoles
from hydra_peft.data.task_data import TaskData
from hydra_peft.data.tokenizer import Encoding
from hydra_peft.errors import UserError, in_full
from hydra_peft.heads._base import Head
from hydra_peft.memo import memo
from hydra_peft.methods._base import Method
from hydra_peft.runs.first_look import check_inputs, data_request, splits_read, splits_scored
from hydra_peft.training.batches import Prepare
from hydra_peft.training.devices import resolve_device
from hydra_peft.training.seeding import derive_seed, seed_everything

#: checks that passed and are not done again in this process
_PASSED = 4096


def check_model(config: RunConfig, *, elsewhere: bool = False) -> None:
    """Check what can be checked without loading weights: that model, head and method fit.

    The model is built without storage (on torch's meta device), so a rank that exceeds a layer or
    a target that no layer has is found here, before weights and data are touched. What was
    found to fit is not built again in this process, whatever the task.

    Args:
        elsewhere: the run will be done on another machine: what devices are here says nothing.

    Raises:
        UserError: the parts do not fit, or the weights file or the device is not there.
    """
    if not elsewhere:
        resolve_device(config.device)
    model = config.model
    check_inputs(model.architecture, config.dataset)
    augmentation = config.data.augmentation()
    config.head.check_outputs(config.dataset.classes)
    _check_fit(model, config.head, config.method, augmentation, config.dataset.classes)
    if model.pretrained:
        check_weights_exist(model.architecture, model.checkpoint, model.remedy)


def build_skeleton(model: ModelConfig, head: Head, method: Method, classes: int) -> nn.Module:
    """Return the adapted model without storage (on torch's meta device): its names and shapes.

    Raises:
        UserError: the parts do not fit.
    """
    with torch.device("meta"):
        skeleton = _architecture(model)
        options = (option.name for option in fields(method))
        told = _told_in_a_sentence(model, head, method, classes)
        with told, in_full(options, "method"):
            inject(skeleton, method, head=head.attach(skeleton, classes))
    return skeleton


def _architecture(model: ModelConfig) -> nn.Module:
    return build_architecture(
        model.architecture,
        model.arguments,
        drop_path=model.drop_path,
        image_size=model.image_size,
        projection=model.projection,
    )


def _parts(
    model: ModelConfig, head: Head, method: Method, augmentation: Augmentation, *_: object
) -> tuple[object, ...]:
    built = (model.architecture, model.arguments, model.image_size, model.drop_path)
    return (*built, model.projection, head.whatever_task, method, augmentation.acts)


@memo(_PASSED, key=_parts)
def _check_fit(
    model: ModelConfig, head: Head, method: Method, augmentation: Augmentation, classes: int
) -> None:
    skeleton = build_skeleton(model, head, method, classes)
    if augmentation.acts and image_size(skeleton) is None:
        raise UserError(
            f"data.augment={augmentation.name} changes images, and {model.architecture} takes "
            "none: set data.augment=none."
        )
    with _told_in_a_sentence(model, head, method, classes):
        shape, count = _probe(skeleton)
    if shape != (count, classes):
        raise UserError(
            f"{described(model.architecture, model.arguments)} gives outputs of shape {shape} for "
            f"{count} example{'s' * (count != 1)} where ({count}, {classes}) logits are needed: "
            "change model.arguments."
        )


def _probe(skeleton: nn.Module) -> tuple[tuple[int, ...], int]:
    """Return the shape of what a model without storage computes, and the number of examples."""
    with torch.device("meta"):
        inputs, count = probe_input(skeleton, torch.device("meta"))
        logits = skeleton.eval()(inputs)
    return tuple(getattr(logits, "shape", ())), count


@contextmanager
def _told_in_a_sentence(
    model: ModelConfig, head: Head, method: Method, classes: int
) -> Iterator[None]:
    """Turn whatever a model raises that cannot compute (AssertionError, ...) into a UserError."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        what, why = described(model.architecture, model.arguments), reason(error)
        if _computes_without_method(model, head, classes):
            raise UserError(
                f"method {method.name} cannot be used on {what} ({why}): choose another method, or "
                "other layers by its options."
            ) from None
        raise UserError(
            f"{what} cannot be used with a head of {classes} outputs ({why}): change "
            "model.arguments."
        ) from None


def _computes_without_method(model: ModelConfig, head: Head, classes: int) -> bool:
    try:
        with torch.device("meta"):
            bare = _architecture(model)
            head.attach(bare, classes)
        return _probe(bare)[0][1:] == (classes,)
    except Exception:  # whatever a model raises that cannot
        return False


def load_backbone(
    model: ModelConfig, seed: int, remedy: str | None = None
) -> tuple[nn.Module, Weights]:
    """Return a fresh copy of the backbone of ``model``, and where its weights come from.

    Args:
        remedy: what to do where they are missing, in the place of what ``model`` says.

    Raises:
        UserError: weights that are missing or do not fit.
    """
    return build_backbone(
        model.architecture,
        pretrained=model.pretrained,
        seed=derive_seed(seed, "backbone"),
        **(model.backbone if remedy is None else {**model.backbone, "remedy": remedy}),
    )


@dataclass(frozen=True)
class AdaptedModel:
    """An adapted model with what is needed to feed it.

    Attributes:
        model: on ``device``, head included.
        size: height and width of its images in pixels; None if it takes none.
        prepare: turns a batch into its input.
        layers: names of the adapted layers.
        takes_features: whether the head may be trained on features that are computed once.
        encoding: how it reads texts; None if it takes none.
    """

    model: nn.Module
    size: tuple[int, int] | None
    prepare: Prepare
    layers: tuple[str, ...]
    takes_features: bool
    encoding: Encoding | None = None

    def inputs(self) -> dict[str, object]:
        """Return what a record says of how inputs come to the model."""
        if self.encoding is not None:
            tokenizer, length = self.encoding
            return {"max_length": length, "tokenizer": tokenizer.sha256}
        return {} if self.size is None else {"image_size": list(self.size)}


def build_model(
    backbone: nn.Module,
    method: Method,
    *,
    head: Head,
    classes: int,
    seed: int,
    device: torch.device,
    normalization: str,
    max_length: int | None = None,
) -> AdaptedModel:
    """Return ``backbone`` with a fresh head and ``method`` injected, on ``device``.

    Head and adapter start from streams of their own derived from ``seed``.

    Args:
        classes: width of the head's outputs.
        normalization: see :func:`hydra_peft.backbones.inputs.preparation`.
        max_length: see :func:`hydra_peft.backbones.inputs.text_encoding`.

    Raises:
        UserError: a head or a method that does not fit.
    """
    seed_everything(derive_seed(seed, "head"))
    names = head.attach(backbone, classes)
    seed_everything(derive_seed(seed, "adapter"))
    done = inject(backbone, method, head=names)
    return AdaptedModel(
        backbone.to(device),
        image_size(backbone),
        preparation(backbone, normalization, device),
        done.layers,
        head.takes_features,
        text_encoding(backbone, max_length),
    )


@dataclass(frozen=True)
class LoadedData:
    """Splits in the size a model takes, and what a record says of the data."""

    splits: dict[str, Split]
    description: dict[str, object]


def load_data(
    dataset: DatasetConfig,
    data: DataConfig,
    request: DataRequest,
    size: tuple[int, int] | None,
    *,
    wanted: Sequence[str],
    described: Callable[[dict[str, object]], None] = lambda _: None,
    encoding: Encoding | None = None,
) -> LoadedData:
    """Return the wanted splits of a task, checked against their yaml, in ``size``.

    Args:
        wanted: those to decode; others that ``request`` names are checked and described only.
        described: called with the description, before images are decoded.
        encoding: how the model reads texts; None if it takes none.

    Raises:
        UserError: data that is missing, damaged, or not what the yaml promises.
    """
    loaded = load_task(dataset, request)
    description = describe_data(dataset, data, loaded)
    described(description)
    splits = {name: split for name, split in loaded.splits.items() if name in wanted}
    ready = prepare_splits(splits, dataset, data, size, request.cache, encoding)
    return LoadedData(ready, description)


def prepare_splits(
    splits: Mapping[str, Split],
    dataset: DatasetConfig,
    data: DataConfig,
    size: tuple[int, int] | None,
    cache: Path,
    encoding: Encoding | None,
) -> dict[str, Split]:
    """Return ``splits`` of a task as a model takes them, by name.

    Args:
        splits: as their source gives them.
        size: height and width in pixels of the model's images; None if it takes none.
        cache: folder of what ``data.cache`` keeps decoded.
        encoding: how the model reads texts; None if it takes none.

    Raises:
        UserError: an image that cannot be decoded, or what the model does not take.
    """
    return {
        name: prepare_split(
            split,
            size=size,
            cache=cache if keeps(data.cache, name, dataset.splits) else None,
            title=f"{dataset.name} {name}",
            encoding=encoding,
            crop=data.crops(dataset),
        )
        for name, split in splits.items()
    }


def load_task(dataset: DatasetConfig, request: DataRequest) -> TaskData:
    """Return the splits of ``request``, less what ``dataset`` does not draw of the training data.

    Raises:
        UserError: data that cannot be read, or too little of it.
    """
    drawing = Drawing(dataset.train_size, dataset.shots, dataset.split_seed, dataset.sampling_seed)
    return load_drawn(dataset.source, request, dataset.splits, drawing)


def check_images(config: RunConfig) -> None:
    """Check all data that a run and its tuning read: promises, shared images, the scored images.

    Raises:
        UserError: see :func:`describe_data`; or an image that is scored cannot be decoded.
    """
    request = data_request(config.dataset, config.paths, splits_read(config))
    loaded = load_task(config.dataset, request)
    describe_data(config.dataset, config.data, loaded)
    for split in splits_scored(config):
        loaded.splits[split].check_decodable()


def keeps(cache: str, split: str, roles: SplitRoles) -> bool:
    """Whether ``data.cache=cache`` keeps ``split`` decoded on disk."""
    return cache == "all" or (cache == "train" and split in roles.labelled())


def describe_data(dataset: DatasetConfig, data: DataConfig, loaded: TaskData) -> dict[str, object]:
    """Describe loaded data for a record, after checking it against yaml and manifest.

    Raises:
        UserError: see :func:`hydra_peft.data.promises.check_promises` and
            :func:`hydra_peft.data.overlap.check_apart` and ``check_labels`` beside it.
    """
    name = f"{dataset.benchmark}/{dataset.name}"
    partial = check_promises(
        loaded.seen_labels(),
        name=name,
        classes=dataset.classes,
        sizes=dataset.sizes,
        test=dataset.splits.test,
        allow_partial=data.allow_partial,
    )
    for split, found in loaded.splits.items():
        dataset.task().check_targets(found.targets, f"{name} {split}")
    description = loaded.describe()
    labels = _compared(loaded, name, dataset.splits, description["splits"])
    return {**description, "partial": partial, "notes": [*loaded.notes, *labels]}


@memo(_PASSED, key=lambda loaded, *known: known)  # noqa: ARG005
def _compared(loaded: TaskData, name: str, roles: SplitRoles, hashes: object) -> list[str]:  # noqa: ARG001
    """Check that splits are apart; return what is to be noted of the labels of their images."""
    check_apart(loaded, name, roles)
    return check_labels(loaded, name)


def data_sha256(config: RunConfig) -> str:
    """Return the hash of the data that the run and its tuning would read now.

    Raises:
        UserError: data that is missing, damaged, or not what the yaml promises.
    """
    request = data_request(config.dataset, config.paths, splits_read(config))
    loaded = load_task(config.dataset, request)
    return str(describe_data(config.dataset, config.data, loaded)["sha256"])
