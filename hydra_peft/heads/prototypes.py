"""A head whose class vectors start as the mean features of the classes' training images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from hydra_peft.heads._class_vectors import ClassVectors, Factor, Norm


@dataclass(frozen=True)
class Prototypes(ClassVectors):
    """Prototypes: the mean of the L2-normalised features of a class's images, normalised again.

    Untrained (``train.epochs=0``) it is the nearest class mean by cosine similarity (Snell et al.,
    arXiv 1703.05175; cosine and scale 10 as Chen et al., arXiv 2003.04390). Features are those of
    the model as it starts, in evaluation mode. An image that has several classes counts for each.
    """

    name: ClassVar[str] = "prototypes"
    starts_from: ClassVar[str] = "shots"
    untrained: ClassVar[str] = "prototypes"

    norm: Norm = "unit"
    scale: Factor = 10.0


HEAD = Prototypes
