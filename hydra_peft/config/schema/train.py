"""``train``: the training loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from hydra_peft.config.schema._group import BatchSize, Group, require
from hydra_peft.errors import UserError
from hydra_peft.limits import Limits, Share, Words
from hydra_peft.schedules._base import Epochs


@dataclass(frozen=True)
class TrainConfig(Group, key="train"):
    """``train``: the loop.

    Attributes:
        epochs: passes over the training split; 0 scores the model as it starts.
        batch_size: examples of a step, all parts of all processes together.
        drop_last: whether a last, smaller batch of an epoch is left out.
        clip_grad: largest norm of the gradient; null does not clip.
        label_smoothing: of the cross-entropy; off in the paper.
        compile: ``auto`` compiles the model's blocks where it pays, on CUDA; ``true``, ``false``.
        cuda_graph: replay the compiled blocks as CUDA graphs.
        profile: write where the time of a step goes into the run's folder.
        checkpoint_every: epochs between checkpoints to resume from; null writes one only when the
            run is interrupted.
        eval_after: epochs after which dropout is off and running statistics stand still, as in
            evaluation; null never. The released ELEVATER code has 1: it never calls train() again.
        accumulate: parts in which each process computes its share of a batch, one after the other,
            where it does not fit at once; gradients are summed to those of the batch's mean loss.
    """

    epochs: Annotated[int, Limits(least=0, most=1_000_000)]
    batch_size: BatchSize
    drop_last: bool
    clip_grad: Annotated[float, Limits(least=1e-9, most=1e6, logarithmic=True)] | None
    label_smoothing: Share
    compile: Annotated[str, Words("auto", "true", "false")] = "auto"
    cuda_graph: bool = False
    profile: bool = False
    checkpoint_every: Epochs | None = 10
    eval_after: Epochs | None = None
    accumulate: BatchSize = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        # yaml's true comes as "True"
        object.__setattr__(self, "compile", self.compile.lower())
        require(
            self.accumulate <= self.batch_size,
            "train.accumulate",
            self.accumulate,
            f"at most train.batch_size={self.batch_size}, which is computed in so many parts",
        )
        if self.cuda_graph and self.accumulate > 1:
            raise UserError(
                "train.cuda_graph=true replays steps whose batch is computed at once, but "
                f"train.accumulate={self.accumulate}: set one of them back."
            )
        if self.cuda_graph and self.compile == "false":
            raise UserError(
                "train.cuda_graph=true replays compiled blocks, but train.compile=false: set "
                "train.compile=true, or train.cuda_graph=false."
            )
