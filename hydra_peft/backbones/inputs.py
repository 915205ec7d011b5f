"""Inputs of a backbone: how a batch becomes them, and a tiny one to try a model with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from torch import Tensor, nn

from hydra_peft.backbones.architectures import input_size, normalization
from hydra_peft.backbones.text_encoder import TextEncoder
from hydra_peft.data.split import Batch
from hydra_peft.data.tokenizer import Encoding
from hydra_peft.errors import UserError
from hydra_peft.training.batches import Normalizer, Prepare


@runtime_checkable
class OwnInputs(Protocol):
    """A backbone that prepares its own inputs, such as padded token ids; others take images."""

    def prepare(self, batch: Batch) -> Mapping[str, Tensor]:
        """Return the model's input for a batch on its device."""
        ...

    def probe(self) -> Batch:
        """Return a batch of a few made-up examples."""
        ...


def image_size(backbone: nn.Module) -> tuple[int, int] | None:
    """Return the ``(height, width)`` in pixels of a backbone's images; None if it takes none."""
    return None if isinstance(backbone, OwnInputs) else input_size(backbone)


def text_encoding(backbone: nn.Module, max_length: int | None) -> Encoding | None:
    """Return how a backbone reads texts; None if it takes none, or has no tokenizer.

    Args:
        max_length: tokens of an example at most; None takes as many as the backbone has positions.

    Raises:
        UserError: it has fewer positions.
    """
    if not isinstance(backbone, TextEncoder) or backbone.tokenizer is None:
        return None
    most = backbone.most_tokens
    if max_length is not None and max_length > most:
        raise UserError(
            f"data.max_length={max_length} is more than the {most} positions of this model: lower "
            "it, or leave it out."
        )
    return Encoding(backbone.tokenizer, max_length or most)


def preparation(backbone: nn.Module, name: str, device: torch.device) -> Prepare:
    """Return the function that turns a batch into the input of ``backbone``.

    Args:
        name: of images: ``backbone`` takes mean and deviation that timm states for its weights,
            ``imagenet`` those of ImageNet, which the released code uses whatever the weights.
    """
    if isinstance(backbone, OwnInputs):
        return backbone.prepare
    if name == "imagenet":
        return Normalizer(IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, device)
    return Normalizer(*normalization(backbone), device)


def probe_input(backbone: nn.Module, device: torch.device) -> tuple[Any, int]:
    """Return a tiny input that ``backbone`` can be called with, and its number of examples."""
    if not isinstance(backbone, OwnInputs):
        return torch.zeros(1, 3, *input_size(backbone), device=device), 1
    # Lengths that decide shapes cannot be read on the meta device, which may be the default.
    with torch.device("cpu"):
        batch = backbone.probe()
        prepared = backbone.prepare(batch)
    return {name: tensor.to(device) for name, tensor in prepared.items()}, len(batch)
