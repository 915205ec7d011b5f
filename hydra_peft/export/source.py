"""Source of an export: a rebuilt run, its preprocessing, and its outputs on random images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from hydra_peft.backbones.architectures import normalization
from hydra_peft.backbones.inputs import image_size
from hydra_peft.errors import UserError
from hydra_peft.export.stock import StockModel, stock_model
from hydra_peft.runs.rebuild import RebuiltRun, rebuild
from hydra_peft.runs.record import class_names

#: largest difference of outputs, relative to the largest output above 1, that is rounding
TOLERANCE = 1e-4
#: random images that a written model is compared on
_PROBES = 4


@dataclass(frozen=True)
class Source:
    """A run to export.

    Attributes:
        run: the rebuilt run; its model is on the CPU, in evaluation mode, adapters in place.
        stock: what timm builds of it.
        classes: names of the outputs, their numbers where the record has none; of a regression
            none.
        size: height and width of its images in pixels.
        crop: whether it sees the middle of images, not all of them squeezed into ``size``.
        mean, std: by channel, of images in [0, 1].
        images: random ones to compare outputs on, uint8 ``[n, 3, height, width]``.
        inputs: the same normalised, float32.
        outputs: what the run's model gives for them.
    """

    run: RebuiltRun
    stock: StockModel
    classes: tuple[str, ...]
    size: tuple[int, int]
    crop: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]
    images: Tensor
    inputs: Tensor
    outputs: Tensor


def load_source(folder: Path, *, checkpoint: str | None = None) -> Source:
    """Rebuild the run in ``folder`` and let it compute on random images.

    Raises:
        UserError: see :func:`~hydra_peft.runs.rebuild.rebuild`; or its backbone is not timm's.
    """
    run = rebuild(folder, checkpoint=checkpoint)
    stock = stock_model(run.config.model, run.model, run.config.dataset.classes)
    model, task = run.model.eval(), run.config.task()
    size = image_size(model)
    assert size is not None, "timm's models take images"
    mean, std = normalization(model)
    if run.config.data.normalization == "imagenet":
        mean, std = IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
    draw = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (_PROBES, 3, *size), generator=draw, dtype=torch.uint8)
    inputs = normalised(images, mean, std)
    return Source(
        run,
        stock,
        class_names(run.record, task.outputs) if task.has_classes else (),
        size,
        run.config.data.crops(run.config.dataset),
        mean,
        std,
        images,
        inputs,
        outputs_of(model, inputs),
    )


def normalised(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Return uint8 images ``[n, 3, h, w]`` as float32 ``(x / 255 - mean) / std``."""
    shape = (1, 3, 1, 1)
    return (images.float() / 255 - torch.tensor(mean).view(shape)) / torch.tensor(std).view(shape)


@torch.no_grad()
def outputs_of(model: nn.Module, inputs: Tensor) -> Tensor:
    """Return the outputs of ``model`` in evaluation mode."""
    found: Tensor = model.eval()(inputs)
    return found


def check_same_outputs(outputs: Tensor, expected: Tensor, what: str) -> None:
    """Check that a model that was read back gives the outputs of the run's model, up to rounding.

    Args:
        what: the model that was read back, for the message.

    Raises:
        UserError: it does not.
    """
    limit = TOLERANCE * max(1.0, float(expected.abs().max()))
    same_shape = outputs.shape == expected.shape
    off = float((outputs - expected).abs().max()) if same_shape else float("inf")
    if not off <= limit:
        raise UserError(
            f"{what} gives other outputs than the run's model (by up to {off:.2g}): nothing was "
            "written."
        )
