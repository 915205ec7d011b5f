"""Initial class vectors of a head: mean features of training images, or features of texts."""

from __future__ import annotations

import torch
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn import functional as F

from hydra_peft.adaptation.record import adaptation
from hydra_peft.config.schema import RunConfig
from hydra_peft.data.split import Split
from hydra_peft.errors import UserError
from hydra_peft.heads._class_vectors import ClassVectors
from hydra_peft.training.batches import Feed
from hydra_peft.training.distributed import World
from hydra_peft.training.features import features_of, head_inputs


def start_head(
    config: RunConfig, model: nn.Module, feed: Feed, texts: Tensor | None, world: World
) -> None:
    """Initialise the head of ``model`` with class vectors; a random head stays as it is.

    Args:
        config: of the run.
        model: adapted, fresh, on the device that computes.
        feed: has the training split.
        texts: features of the task's prompts, float ``[outputs, width]``; None where not needed.
        world: the main process's vectors are those of all.

    Raises:
        UserError: a class without a training image, or vectors of another width.
    """
    head = config.head
    if not isinstance(head, ClassVectors) or head.starts_from == "random":
        return
    vectors = texts
    names = adaptation(model).head
    if head.starts_from == "shots":
        split = feed.train_split
        if feed.prepare is not features_of:
            split = head_inputs(
                model,
                model.get_submodule(names[0]),
                split,
                prepare=feed.prepare,
                device=split.targets.device,
                precision=config.precision,
            )
        vectors = prototypes(split, config.dataset.classes)
    assert vectors is not None, "features of prompts were made before"
    if world.size > 1:
        vectors = load(world.broadcast_bytes(save({"vectors": vectors.cpu()})))["vectors"]
    head.set_vectors(model, names, vectors)


def prototypes(split: Split, classes: int) -> Tensor:
    """Return the mean L2-normalised feature of each class, L2-normalised, ``[classes, width]``.

    Args:
        split: with inputs ``features``, ``[n, width]``; targets int64 ``[n]`` or bool
            ``[n, classes]``.

    Raises:
        UserError: a class has no example, or the targets are no classes.
    """
    features, targets = split.inputs["features"], split.targets
    assert isinstance(features, Tensor), "features are no ragged rows"
    if targets.is_floating_point():
        raise UserError(
            "head=prototypes is for classes, and this task has values: use head=linear."
        )
    of_one = targets.dtype == torch.int64
    members = (F.one_hot(targets, classes) if of_one else targets).to(torch.float32)
    counts = members.sum(dim=0)
    if bool((counts == 0).any()):
        raise UserError(
            f"head=prototypes starts from the mean feature of each class, and class "
            f"{int((counts == 0).nonzero()[0])} (counted from 0) has no training image: use "
            "head=linear, or more images."
        )
    sums = members.T @ F.normalize(features.to(torch.float32), dim=-1)
    return F.normalize(sums / counts[:, None], dim=-1)
