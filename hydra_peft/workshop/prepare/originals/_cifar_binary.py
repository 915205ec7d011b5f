"""Records of CIFAR's binary releases: labels, then 3,072 bytes of red, green and blue planes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from hydra_peft.errors import UserError
from hydra_peft.workshop.prepare.originals._base import Pool
from hydra_peft.workshop.prepare.originals._source import SourceFolder

SIDE = 32
SIZES = {"train": 50_000, "test": 10_000}


def cifar_pools(
    source: SourceFolder,
    task: str,  # noqa: ARG001
    *,
    folder: str,
    archive: str,
    files: Mapping[str, Sequence[str]],
    labels: Mapping[str, int],
) -> dict[str, Pool]:
    """Return the pools ``train`` and ``test``; keys are positions in the files, one after another.

    Args:
        folder: what the files lie in, if not in the source folder itself.
        archive: what ``folder`` is unpacked from.
        files: names of the files by pool.
        labels: what each label of a record is called in messages (``fine label``), and of how many
            classes; the last one counts.

    Raises:
        UserError: a file is missing or truncated, or a label is out of range.
    """
    pools = {}
    for split, names in files.items():
        paths = [source.file(f"{folder}/{name}", name, archives=[archive]) for name in names]
        pools[split] = _pool(paths, labels, archive)
        source.expect_count(f"records of {split}", len(pools[split].keys), SIZES[split])
    return pools


def _pool(files: Sequence[Path], labels: Mapping[str, int], archive: str) -> Pool:
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
