"""Whether a run keeps what its model says of each example of a split, and why not, in words.

What is kept is the whole output of each example, in the split's order: its index, the predicted
class and the probabilities of the best five follow from it, and any metric can be computed again.
"""

from __future__ import annotations

import os
from pathlib import Path

from hydra_peft.config.schema import RunConfig
from hydra_peft.errors import UserError, did_you_mean
from hydra_peft.metrics import find_metric
from hydra_peft.runs.folder import PREDICTIONS, predictions_name
from hydra_peft.runs.record import Record
from hydra_peft.runs.recorded import read_completed

#: examples of a split up to which ``save.predictions=auto`` keeps them
MOST = 50_000
KEPT, TOO_MANY, NOT_WANTED = "kept", "too many examples", "not wanted"


def fate(asked: str, count: int) -> str:
    """Return what becomes of the predictions of ``count`` examples, where ``save.predictions`` is
    ``asked``."""
    if asked == "false":
        return NOT_WANTED
    return KEPT if asked == "true" or count <= MOST else TOO_MANY


def why_none(record: Record, split: str) -> str:
    """Return in words why the run of ``record`` kept no predictions of ``split``.

    Empty where it kept them, and of older code, whose records say nothing of it.
    """
    said = record.predictions.get(split)
    if said == NOT_WANTED:
        return "the run had save.predictions=false"
    if said == TOO_MANY:
        return f"save.predictions=auto keeps none of splits of more than {MOST:,} examples"
    return ""


def is_classification(record: Record) -> bool:
    """Whether examples of the run's task have one class each, as its metric says."""
    try:
        return "classification" in find_metric(record.primary).kinds
    except UserError:  # of somebody's module that is not there
        return "correct" in record.counts


def has_classes(folder: Path, record: Record) -> bool:
    """Whether the completed run in ``folder`` kept which class it took each example for."""
    return is_classification(record) and (folder / PREDICTIONS).is_file()


def of_classes(folder: Path, split: str = "") -> tuple[Record, RunConfig, str]:
    """Return record and config of the classification in ``folder``, and the split that it kept
    predictions of.

    Args:
        folder: the run's.
        split: that they are to be of; empty takes the one that counts.

    Raises:
        UserError: the run did not complete, is no classification, was not scored on ``split``, or
            kept no predictions.
    """
    record, config = read_completed(folder)
    split, task = split or record.split, config.task()
    if not task.has_hits:
        raise UserError(
            f"the run in {folder} is a {task.kind}: only classification has one class an example."
        )
    if split not in record.scores:
        raise UserError(
            f"the run in {folder} was not scored on split={split}"
            f"{did_you_mean(split, record.scores)}: choose {' or '.join(record.scores)}."
        )
    name = predictions_name(split, record.split)
    if not os.path.lexists(folder / name):
        why = why_none(record, split) or "removed, or of older code, which kept none"
        raise UserError(
            f"{folder} has no {name}: {why}; do the run again with save.predictions=true "
            "sweep.on_existing=rerun."
        )
    return record, config, split
