"""Resuming the interrupted run in a folder: what of its record and checkpoints goes on."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from hydra_peft.errors import UserError
from hydra_peft.runs.checkpoints import Origin
from hydra_peft.runs.folder import completed_record, holds_record, set_aside
from hydra_peft.runs.ledger import Ledger
from hydra_peft.runs.record import Record, read_record, utc_now
from hydra_peft.runs.training import Training

log = logging.getLogger("hydra_peft")


def is_unfinished(folder: Path) -> bool:
    """Whether ``folder`` holds a run that did not complete."""
    return holds_record(folder) and completed_record(folder) is None


def carry_over(ledger: Ledger) -> None:
    """Take from the record of the run's earlier parts what the new record goes on with.

    A folder whose record is refused is set aside: nobody can tell what it is.
    """
    if not holds_record(ledger.folder):
        return
    try:
        earlier = read_record(ledger.folder)
    except UserError as error:
        if ledger.held is not None:
            log.warning("%s It is kept in %s", error, set_aside(ledger.folder).name)
        return
    ledger.earlier_code = earlier.code
    ledger.update(resumed=earlier.resumed)


def origin_of(record: Record) -> Origin:
    """Return what checkpoints of the run of ``record`` belong to."""
    return Origin(
        config_id=record.config_id,
        weights=str(record.weights["sha256"]),
        data=str(record.data["sha256"]),
        torch=".".join(torch.__version__.split(".")[:2]),
        chosen=record.tuning.get("chosen", {}),
    )


def pick_up(training: Training, ledger: Ledger, *, unfinished: bool) -> None:
    """Put ``training`` to its newest good checkpoint, or to its beginning, and record which.

    Args:
        unfinished: whether there may be one: checkpoints of a completed run are removed.

    Raises:
        NotOurs: the folder may no longer be written to.
        OSError: the disk is full or the folder not writable.
    """
    before = ledger.record.resumed
    if unfinished and training.resume():
        ledger.update(resumed=[*before, _resumption(training, ledger)])
    else:
        training.remove_checkpoints()
        ledger.update(resumed=[])
    if ledger.record.resumed == before:
        ledger.may_write()
    else:
        ledger.write()


def _resumption(training: Training, ledger: Ledger) -> dict[str, object]:
    if ledger.earlier_code != ledger.record.code:
        log.warning("other code than before the interruption goes on: the record names both")
    return {
        "at_step": training.state.step,
        "epoch": training.state.progress.epoch + 1,
        "when": utc_now(),
        "code": ledger.earlier_code,
    }
