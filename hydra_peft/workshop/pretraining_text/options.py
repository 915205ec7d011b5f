"""The options of a pretraining run on texts; reading them loads no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TextOptions:
    """Options of a pretraining run; they fix the result on one machine and one thread.

    Attributes:
        source: folder of WordNet's files.
        output: folder that the model is written into.
        epochs: how often each text is read.
        batch_size: texts, or pairs of them, in a step.
        learning_rate: the highest; it rises over ``warmup`` of the steps and falls to 0.
        masked: share of the tokens that are to be guessed.
    """

    source: Path
    output: Path
    epochs: int = 8
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    warmup: float = 0.06
    masked: float = 0.2
    clip_norm: float = 1.0
    seed: int = 0
    report_every: int = 100

    def __post_init__(self) -> None:
        """Raise ValueError for values that cannot be trained with."""
        if min(self.epochs, self.batch_size, self.report_every) < 1:
            raise ValueError("epochs, batch_size and report_every must be at least 1")
        if not 0.0 < self.masked < 1.0 or not 0.0 <= self.warmup < 1.0:
            raise ValueError("masked and warmup are shares: between 0 and 1")
        if self.learning_rate <= 0.0:
            raise ValueError("learning_rate must be positive")
