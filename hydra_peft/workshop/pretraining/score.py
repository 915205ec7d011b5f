"""Accuracy on fresh scenes of the source task."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from hydra_peft.workshop.pretraining.model import SourceModel
from hydra_peft.workshop.pretraining.scenes import NO_IDENTITY, SceneSource


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
