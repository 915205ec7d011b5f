"""The backbone with one linear head per label of the source task."""

from __future__ import annotations

from dataclasses import dataclass

import timm
import torch.nn.functional as F
from torch import Tensor, nn

from hydra_peft.backbones.vit_mini import VIT_MINI
from hydra_peft.workshop.pretraining.materials import FAMILIES, PATTERNS
from hydra_peft.workshop.pretraining.scenes import COMPANIONS, IDENTITIES, SceneBatch

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
