"""Records of CIFAR's binary releases: labels, then 3,072 bytes of red, green and blue planes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from hydra_peft.errors import UserError
from hydra_peft.workshop.prepare.originals._base import Pool

SIDE = 32


def cifar_pool(files: Sequence[Path], labels: Mapping[str, int], archive: str) -> Pool:
    """Return the records of ``files`` as one pool; keys are positions, the last label counts.

    Args:
        labels: what each label is called in messages (``fine label``), and of how many classes.
        archive: where the files come from, for messages.

    Raises:
        UserError: a file is truncated, or a label is out of range.
    """
    records = [_records(path, labels, archive) for path in files]
    counts = np.cumsum([0, *map(len, records)])

    def image(index: int) -> Image.Image:
        file = int(np.searchsorted(counts, index, side="right")) - 1
        planes = records[file][index - counts[file], len(labels) :].reshape(3, SIDE, SIDE)
        return Image.fromarray(np.ascontiguousarray(planes.transpose(1, 2, 0)))

    every = np.concatenate([part[:, len(labels) - 1] for part in records])
    return Pool(range(int(counts[-1])), every.astype(np.int64), image)


def _records(path: Path, labels: Mapping[str, int], archive: str) -> np.ndarray:
    """Return the file as uint8 ``[n, labels + 3072]``, mapped rather than read."""
    size = len(labels) + 3 * SIDE * SIDE
    count, rest = divmod(path.stat().st_size, size)
    if rest or not count:
        raise UserError(
            f"{path} has {path.stat().st_size:,} bytes, no multiple of the {size:,} of a record: "
            f"it is truncated or not of {archive}, fetch it again."
        )
    records = np.memmap(path, dtype=np.uint8, mode="r", shape=(count, size))
    for column, (kind, classes) in enumerate(labels.items()):
        wrong = np.flatnonzero(records[:, column] >= classes)
        if len(wrong):
            raise UserError(
                f"{path}: record {wrong[0]} has the {kind} {records[wrong[0], column]}, not "
                f"one of 0 to {classes - 1}: it is damaged or not of {archive}, fetch it again."
            )
    return records
