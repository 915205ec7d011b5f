"""The backbone with one linear head per label of the source task, its loss and its accuracy."""

from __future__ import annotations

from dataclasses import dataclass

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hydra_peft.backbones.vit_mini import VIT_MINI
from hydra_peft.workshop.pretraining.materials import FAMILIES, PATTERNS
from hydra_peft.workshop.pretraining.scenes import (
    COMPANIONS,
    IDENTITIES,
    NO_IDENTITY,
    SceneBatch,
    SceneSource,
)

_SMOOTHING = 0.1
_FAMILY_WEIGHT = 0.3
# The loss of the companions is a sum over classes that are nearly all absent.
_COMPANION_WEIGHT = 0.3


@dataclass(frozen=True)
class SourceLogits:
    """float32 logits [n, classes] of the four labels of a scene."""

    identity: Tensor
    pattern: Tensor
    family: Tensor
    companions: Tensor


class SourceModel(nn.Module):
    """`vit_mini` without a head of its own, and the four heads of the source task."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = timm.create_model(
            "vit_tiny_patch16_224", pretrained=False, num_classes=0, **VIT_MINI
        )
        width = int(VIT_MINI["embed_dim"])
        self.identity = nn.Linear(width, IDENTITIES)
        self.pattern = nn.Linear(width, PATTERNS)
        self.family = nn.Linear(width, FAMILIES)
        self.companions = nn.Linear(width, COMPANIONS)
        # Start from "absent": a companion class is in about one scene out of fifty.
        nn.init.constant_(self.companions.bias, -4.0)

    def forward(self, images: Tensor) -> SourceLogits:
        """Return the logits for images [n, 3, 32, 32] with values -1 to 1."""
        features = self.backbone(images)
        return SourceLogits(
            self.identity(features),
            self.pattern(features),
            self.family(features),
            self.companions(features),
        )


def source_loss(logits: SourceLogits, batch: SceneBatch) -> Tensor:
    """Return the weighted sum of the four losses, a float32 scalar."""
    identity = F.cross_entropy(logits.identity, batch.identity, label_smoothing=_SMOOTHING)
    pattern = F.cross_entropy(logits.pattern, batch.pattern, label_smoothing=_SMOOTHING)
    family = F.cross_entropy(logits.family, batch.family, label_smoothing=_SMOOTHING)
    companions = F.binary_cross_entropy_with_logits(
        logits.companions, batch.companions, reduction="sum"
    ) / len(batch.companions)
    return identity + pattern + _FAMILY_WEIGHT * family + _COMPANION_WEIGHT * companions


@dataclass(frozen=True)
class SourceScore:
    """Top-1 accuracy of the main object's class and of the background's pattern, 0 to 1."""

    identity: float
    pattern: float


@torch.no_grad()
def score(
    model: SourceModel, source: SceneSource, batches: int, batch_size: int, difficulty: float = 1.0
) -> SourceScore:
    """Score `model` on `batches` fresh batches; it is left in the mode it came in.

    Scenes without a main object do not count for its class. Raises ValueError if `batches` < 1.
    """
    if batches < 1:
        raise ValueError(f"scoring needs at least one batch, got {batches}")
    was_training = model.training
    model.eval()
    identity = objects = pattern = 0
    for _ in range(batches):
        batch = source.batch(batch_size, difficulty)
        logits = model(batch.images)
        identity += int((logits.identity.argmax(dim=1) == batch.identity).sum())
        objects += int((batch.identity != NO_IDENTITY).sum())
        pattern += int((logits.pattern.argmax(dim=1) == batch.pattern).sum())
    model.train(was_training)
    return SourceScore(identity / max(1, objects), pattern / (batches * batch_size))
