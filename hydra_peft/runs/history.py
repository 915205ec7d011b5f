"""Reading of ``metrics.csv``: values of each epoch of a run, and gaps in the file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra_peft.errors import UserError
from hydra_peft.files import content_of
from hydra_peft.finite import decimal_number, whole_number
from hydra_peft.runs.folder import METRICS
from hydra_peft.runs.record import Record

#: a line has some 80 bytes: no file of ours comes near it
MAX_BYTES = 16 * 2**20
_COLUMNS = ("epoch", "loss", "train_accuracy")
#: a mean of float32 losses that is finite and not 0 has a size between these
_SIZES = (1e-60, 1e39)
#: no run has more
_MOST_EPOCHS = 10**9


@dataclass(frozen=True)
class History:
    """Training by epoch.

    Attributes:
        epochs: number from 1, ascending, to mean training loss and training accuracy in percent;
            either may be no finite number. None comes after the last of a completed run.
        faults: a sentence that names the file and what it lacks; "" for a whole one.
    """

    epochs: dict[int, tuple[float, float]]
    faults: str


def read_history(folder: Path, record: Record | None = None) -> History | None:
    """Read the epochs of the run in ``folder``; None where no epoch had ended.

    Args:
        folder: the run's.
        record: the run's, which says how many epochs there are once it is complete, and how the
            last one ended; None where that is not known.

    Raises:
        UserError: the file is not readable, too large, or no line of it is of an epoch.
    """
    path = folder / METRICS
    content = content_of(path, MAX_BYTES)
    if content is None:
        return None
    head, *lines = content.decode("utf-8-sig", "replace").split("\n")
    torn = bool((lines or [head]).pop().strip())  # what follows the last newline is half written
    names = head.strip().split(",")
    if any(names.count(name) != 1 for name in _COLUMNS):
        if not content:
            return None
        raise UserError(f"{path} is damaged: its curves are not shown.")
    epochs: dict[int, tuple[float, float]] = {}
    odd = last = 0
    for line in lines:
        row = _row(line.strip().split(","), names)
        if row is None or row[0] <= last:
            odd += 1
        else:
            last = row[0]
            epochs[last] = row[1:]
    if odd and not epochs:
        raise UserError(f"{path} is damaged: its curves are not shown.")
    faults = [f"{odd} lines are no epochs that follow those before"] if odd else []
    if record is not None and record.status == "completed":
        faults += ["it ends within a line"] if torn else []
        faults += _missing(epochs, record)
        epochs = {epoch: pair for epoch, pair in epochs.items() if epoch <= _count(record, epoch)}
    if not epochs and not faults:
        return None
    return History(epochs, f"{path} is not whole: {'; '.join(faults)}." if faults else "")


def _row(values: Sequence[str], names: Sequence[str]) -> tuple[int, float, float] | None:
    if len(values) != len(names):
        return None
    found = dict(zip(names, values, strict=True))
    try:
        accuracy = decimal_number(found["train_accuracy"] or "nan")
        epoch, loss = whole_number(found["epoch"]), decimal_number(found["loss"])
    except ValueError:
        return None
    possible = loss == 0 or not math.isfinite(loss) or _SIZES[0] < abs(loss) < _SIZES[1]
    if epoch > _MOST_EPOCHS or not possible or accuracy < 0 or accuracy > 100:
        return None
    return epoch, loss, accuracy


def _missing(epochs: Mapping[int, tuple[float, float]], record: Record) -> Iterator[str]:
    count = _count(record, -1)
    if count < 0:
        return
    there = sum(epoch <= count for epoch in epochs)
    if there < count:
        first = next(epoch for epoch in range(1, count + 1) if epoch not in epochs)
        yield f"{count - there} of {count} epochs are missing, the first is {first}"
    if there < len(epochs):
        after = len(epochs) - there
        yield f"{after} epochs come after the last, which is {count}, and are left out"
    unlikely = sum(not math.isfinite(loss) for loss, _ in epochs.values())
    if unlikely:  # such a run ends as diverged
        yield f"{unlikely} of its losses are no finite numbers"
    pairs = zip(("a loss", "an accuracy"), epochs.get(count, ()), strict=False)
    for (name, value), key in zip(pairs, ("loss", "accuracy"), strict=False):
        said = record.training.get(key)
        if isinstance(said, float) and not math.isclose(value, said):
            yield f"it ends with {name} of {value:g}, and the record has {said:g}"


def _count(record: Record, unknown: int) -> int:
    """Return how many epochs ``record`` says that there are; ``unknown`` where it does not say."""
    train: Any = record.science.get("train")
    count = train.get("epochs") if isinstance(train, dict) else None
    return count if type(count) is int else unknown
