"""The options of a pretraining run; reading them loads no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """Options of a pretraining run; times and files aside, they fix the result.

    The same seed, step count, batch size and number of threads give the same weights on the same
    machine and library versions; other machines may differ in the last bits and then drift apart.
    """

    output: Path
    steps: int
    batch_size: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    warmup_steps: int = 250
    clip_norm: float = 1.0
    seed: int = 0
    threads: int = 2
    report_every: int = 100
    save_every: int = 0

    def __post_init__(self) -> None:
        """Raise ValueError for sizes that cannot be trained with."""
        if min(self.steps, self.batch_size, self.threads, self.report_every) < 1:
            raise ValueError("steps, batch_size, threads and report_every must be at least 1")
        if min(self.learning_rate, self.clip_norm) <= 0.0:
            raise ValueError("learning_rate and clip_norm must be positive")
        if min(self.warmup_steps, self.save_every, self.weight_decay) < 0:
            raise ValueError("warmup_steps, save_every and weight_decay must not be negative")


@dataclass(frozen=True)
class PretrainOptions(Options):
    """Options of `vit_mini`'s pretraining; scenes grow to their full difficulty over `ramp`."""

    steps: int = 3600
    ramp: float = 0.5

    def __post_init__(self) -> None:
        """Raise ValueError for sizes that cannot be trained with."""
        super().__post_init__()
        if not 0.0 <= self.ramp <= 1.0:
            raise ValueError(f"ramp must be between 0 and 1, got {self.ramp}")


@dataclass(frozen=True)
class ClipOptions(Options):
    """Options of `clip_mini`'s pretraining; one thread, so that its bits do not depend on cores."""

    steps: int = 300
    batch_size: int = 192
    learning_rate: float = 1e-3
    warmup_steps: int = 40
    threads: int = 1
    report_every: int = 50
