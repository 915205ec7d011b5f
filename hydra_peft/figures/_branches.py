"""Adapted layers of a rebuilt run, and their branch outputs on images that it was scored on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from hydra_peft.checkout import CACHE
from hydra_peft.errors import UserError, did_you_mean
from hydra_peft.figures._blocks import block_numbers, place
from hydra_peft.plain_text import counted
from hydra_peft.runs.record import Record, read_record

if TYPE_CHECKING:
    from torch import Tensor

    from hydra_peft.adapters.low_rank import LowRankLinear
    from hydra_peft.runs.rebuild import RebuiltRun

#: images that a model takes at once
_BATCH = 32
#: fewer have no picture and no unbiased estimate
LEAST_IMAGES = 8
CHECKPOINT_OPTION = "checkpoint=<file>  the backbone's weights, if they have moved since"
#: options of figures that read images
IMAGE_OPTIONS = (
    "images=128         how many images of the split that the run was scored on, evenly spaced",
    "cache=<folder>     where decoded and generated images are kept (default: results/cache)",
    "data=<folder>      the folder of prepared data, if it has moved since",
    CHECKPOINT_OPTION,
)


@dataclass(frozen=True)
class ImageSettings:
    """Settings of figures that read images; empty is the default that the option's text names."""

    images: int = 128
    cache: str = ""
    data: str = ""
    checkpoint: str = ""

    def __post_init__(self) -> None:
        if self.images < LEAST_IMAGES:
            raise UserError(f"images={self.images} is too few: give {LEAST_IMAGES} or more.")


@dataclass(frozen=True)
class AdaptedLayer:
    """One adapted layer.

    Attributes:
        name: in the model, such as ``blocks.5.attn.proj``.
        block: its transformer block, from 1 as the paper counts; 0 outside of blocks.
        kind: its name within a block, such as ``attn.proj``; outside of blocks the whole name.
        adapter: the module.
    """

    name: str
    block: int
    kind: str
    adapter: LowRankLinear


def check_branches(folder: Path, settings: object) -> None:  # noqa: ARG001 - of every figure
    """Check that the run in ``folder`` trains more than its head.

    Raises:
        UserError: it does not.
    """
    record = read_record(folder)
    if record.parameters.get("adapter") == 0:
        raise _no_branches(folder, record)


def check_features(folder: Path, settings: object) -> None:
    """Check that the run in ``folder`` has branches, and images whose features they give.

    Raises:
        UserError: it does not.
    """
    check_branches(folder, settings)
    record = read_record(folder)
    if record.of == "texts":
        raise _no_images(folder, record)


def _no_images(folder: Path, record: Record) -> UserError:
    return UserError(
        f"the run in {folder} reads texts ({record.benchmark}/{record.task}), and features of "
        "[CLS] are shown of images: choose a run on images."
    )


def _no_branches(folder: Path, record: Record) -> UserError:
    return UserError(
        f"the run in {folder} has no low-rank branches (method {record.method_label}): choose one "
        "of hydra, lora or seqlora."
    )


def adapted_layers(run: RebuiltRun) -> list[AdaptedLayer]:
    """Return the layers of ``run`` with low-rank branches, in the model's order.

    Raises:
        UserError: there is none, or one holds values that are not finite.
    """
    from hydra_peft.adaptation.carried import adapters
    from hydra_peft.adapters.low_rank import LowRankLinear

    found = []
    numbers = block_numbers(run.model)
    for name, adapter in adapters(run.model):
        if not isinstance(adapter, LowRankLinear):
            continue
        if not all(bool(tensor.isfinite().all()) for tensor in adapter.parameters()):
            raise UserError(
                f"{name} of the run in {run.folder} holds values that are not finite: its branches "
                "have diverged, or the file was edited."
            )
        found.append(AdaptedLayer(name, *place(name, numbers), adapter))
    if not found:
        raise _no_branches(run.folder, run.record)
    return found


@dataclass(frozen=True)
class Sample:
    """Some images of a split.

    Attributes:
        split: its name.
        positions: int64 ``[n]``, where they are in it, evenly spaced: splits can be in the order
            of their classes.
        labels: int64 ``[n]``.
        pixels: uint8 ``[n, 3, height, width]``.
    """

    split: str
    positions: Tensor
    labels: Tensor
    pixels: Tensor


def sample_images(run: RebuiltRun, settings: ImageSettings) -> Sample:
    """Return images of the split that ``run`` was scored on, all if there are fewer than asked.

    Raises:
        UserError: too few, the run reads texts, or the images are not there or not those of the
            record.
    """
    import torch

    from hydra_peft.backbones.inputs import image_size
    from hydra_peft.runs.rebuild import load_scored_split

    if image_size(run.model) is None:
        raise _no_images(run.folder, run.record)
    folder = Path(settings.cache).expanduser() if settings.cache else CACHE
    split = load_scored_split(run, cache=folder, data=settings.data or None)
    count = min(settings.images, len(split))
    if count < LEAST_IMAGES:
        raise UserError(
            f"{run.config.protocol.evaluate_split} of {run.record.task} has "
            f"{counted(count, 'image')}: at least {LEAST_IMAGES} are needed."
        )
    positions = torch.arange(count) * len(split) // count
    taken = [split.take(slice(i, i + 1)) for i in positions.tolist()]
    pixels = torch.cat([cast("Tensor", one.inputs["image"]) for one in taken])
    targets = torch.cat([one.targets for one in taken])
    return Sample(run.config.protocol.evaluate_split, positions, targets, pixels)


def cls_outputs(run: RebuiltRun, layer: AdaptedLayer, sample: Sample) -> dict[str, Tensor]:
    """Return the [CLS] output of each branch of ``layer``, float32 ``[n, d]``: see branch_outputs.

    Raises:
        UserError: the model has no [CLS] token.
    """
    import torch

    from hydra_peft.analysis.branches import branch_outputs
    from hydra_peft.backbones.inputs import preparation
    from hydra_peft.data.split import Batch

    if getattr(run.model, "cls_token", None) is None:
        raise UserError(
            f"{run.record.model} of the run in {run.folder} has no [CLS] token, whose features "
            "this shows: choose a run of another model."
        )
    prepare = preparation(run.model, run.config.data.normalization, torch.device("cpu"))
    parts = zip(sample.pixels.split(_BATCH), sample.labels.split(_BATCH), strict=True)
    batches = (prepare(Batch({"image": pixels}, labels)) for pixels, labels in parts)
    return branch_outputs(run.model, {layer.name: layer.adapter}, batches)[layer.name]


def choose_layer(run: RebuiltRun, layers: list[AdaptedLayer], name: str) -> AdaptedLayer:
    """Return the layer called ``name``; by default mlp.fc2 of the last block, or the last layer.

    Raises:
        UserError: no adapted layer of ``run`` in a block has that name.
    """
    inside = {layer.name: layer for layer in layers if layer.block}
    if not inside:
        raise UserError(
            f"the run in {run.folder} adapts no layer in a transformer block, so there is no [CLS]."
        )
    if not name:
        last = max(layer.block for layer in inside.values())
        ending = [layer for layer in inside.values() if layer.block == last]
        return next((layer for layer in ending if layer.kind == "mlp.fc2"), ending[-1])
    if name not in inside:
        raise UserError(
            f"layer={name} is no adapted layer of the run in {run.folder}"
            f"{did_you_mean(name, inside)}: choose one of {', '.join(inside)}."
        )
    return inside[name]
