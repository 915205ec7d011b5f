"""One run whose batches are computed in shares: checks that they can be, and the outcome that all
processes return."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from torch import nn

from hydra_peft.adaptation.frozen import has_running_statistics
from hydra_peft.adaptation.heads import belongs_to
from hydra_peft.adaptation.record import adaptation
from hydra_peft.config.schema import RunConfig
from hydra_peft.errors import UserError
from hydra_peft.runs.outcome import Outcome
from hydra_peft.runs.record import Record
from hydra_peft.training.distributed import World


def check_together(config: RunConfig, world: World) -> None:
    """Check that the processes of ``world`` can share the batches of the run ``config``.

    Raises:
        UserError: a batch has fewer examples than there are processes.
    """
    batch, parts = config.train.batch_size, config.train.accumulate
    if world.size * parts > batch:
        each = f" with train.accumulate={parts}" if parts > 1 else ""
        raise UserError(
            f"train.batch_size={batch} leaves nothing for some of {world.size} processes{each}: it "
            "counts the examples of all of them; set torchrun's --nproc-per-node lower."
        )


def check_no_batch_norm(model: nn.Module, config: RunConfig, world: World) -> None:
    """Check that no statistics are taken over a batch that is computed in shares or parts.

    Raises:
        UserError: the head, or the backbone that the method trains, has a layer with running
            statistics.
    """
    parts = config.train.accumulate
    if world.size == 1 and parts == 1:
        return
    share, remedy = f"each of {world.size} processes sees a share", "without torchrun"
    if world.size == 1:
        share, remedy = f"train.accumulate={parts} computes parts", "with train.accumulate=1"
    head = adaptation(model).head
    for name, module in model.named_modules():
        # Frozen statistics are the same in every share.
        moves = config.method.trains_backbone or belongs_to(name, head)
        if moves and has_running_statistics(module):
            raise UserError(
                f"{name} of {config.model.name} normalises over the batch, of which {share}: "
                f"train this model {remedy}."
            )


def broadcast_outcome(outcome: Outcome | None, world: World) -> Outcome | None:
    """Return the main process's ``outcome`` in all processes; None where it has none."""
    plain = None
    if outcome is not None:
        plain = {**dataclasses.asdict(outcome), "folder": str(outcome.folder)}
    said = world.broadcast(plain)
    if world.is_main or said is None:
        return outcome
    return Outcome(Record(**said["record"]), Path(said["folder"]), said["skipped"])
