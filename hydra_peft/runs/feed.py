"""The fastest way to a run's result: features computed once, compiled blocks, or neither."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping

import torch

from hydra_peft.augmentations import Augmentation
from hydra_peft.backbones.inputs import probe_input
from hydra_peft.config.schema import TrainConfig
from hydra_peft.data.split import Split
from hydra_peft.runs.assembly import AdaptedModel
from hydra_peft.training.batches import Feed
from hydra_peft.training.compiling import compile_blocks, pays
from hydra_peft.training.features import features_of, head_alone, head_inputs

log = logging.getLogger("hydra_peft")
#: what a record says of features that are computed once
_COMPUTED_ONCE = {"features": "computed once", "compiled": None, "cuda_graph": False}


def choose_feed(
    adapted: AdaptedModel,
    train_split: Split,
    scored: Mapping[str, Split],
    *,
    train: TrainConfig,
    augmentation: Augmentation,
    device: torch.device,
    precision: str,
    once: Callable[[str, Split, Callable[[], Split]], Split] = lambda _name, _split, make: make(),
) -> Feed:
    """Choose how to train ``adapted``: on features that are computed now, compiled, or as it is.

    Args:
        augmentation: of the images of ``train_split``; features of images that change in each step
            are computed in each step.
        once: returns the features of a split by its name and itself, or has them computed.
    """
    model = adapted.model
    probe = probe_input(model, device)[0]
    head = head_alone(model, probe) if adapted.takes_features else None
    if head is not None and augmentation.acts:
        log.warning(
            "data.augment=%s changes images in each step, so the frozen backbone's features cannot "
            "be computed once: each step computes them, which takes longer",
            augmentation.name,
        )
    elif head is not None:

        def features(name: str, split: Split) -> Split:
            compute = functools.partial(
                head_inputs, prepare=adapted.prepare, device=device, precision=precision
            )
            return once(name, split, lambda: compute(model, head, split))

        train_split = features("training data", train_split)
        scored = {name: features(name, split) for name, split in scored.items()}
        return Feed(head, train_split, scored, features_of, _COMPUTED_ONCE)
    compiled = None
    if train.compile == "true" or (train.compile == "auto" and pays(device)):
        compiled = compile_blocks(model, cuda_graph=train.cuda_graph)
    path: dict[str, object] = {
        "features": "computed in each step",
        "compiled": compiled,
        # Elsewhere torch compiles the same blocks and makes no graphs of them.
        "cuda_graph": compiled is not None and train.cuda_graph and device.type == "cuda",
    }
    changing = augmentation if augmentation.acts else None
    return Feed(model, train_split, scored, adapted.prepare, path, changing)
