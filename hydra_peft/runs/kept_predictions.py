"""Whether a run keeps what its model says of each example of a split, and why not, in words.

What is kept is the whole output of each example, in the split's order: its index, the predicted
class and the probabilities of the best five follow from it, and any metric can be computed again.
"""

from __future__ import annotations

from pathlib import Path

from hydra_peft.runs.folder import PREDICTIONS
from hydra_peft.runs.record import Record

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


def has_classes(folder: Path, record: Record) -> bool:
    """Whether the completed run in ``folder`` kept which class it took each example for."""
    return "correct" in record.counts and (folder / PREDICTIONS).is_file()
