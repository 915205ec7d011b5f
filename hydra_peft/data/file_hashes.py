"""Content hashes of many files, computed once and kept while the files stay as they are."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from hydra_peft.data.decoding import Encoded, in_threads
from hydra_peft.data.task_files import TaskFiles
from hydra_peft.errors import UserError
from hydra_peft.tensor_files import read_tensors_and_metadata, write_tensors

log = logging.getLogger(__name__)

#: nanoseconds within which two changes of a file may have one time: FAT's two seconds are the most
_TICK = 2 * 10**9


def file_hashes(files: Sequence[Path], folder: Path, index: Path, title: str) -> Tensor:
    """Return the sha256 of each file, uint8 ``[n, 32]``.

    Hashes are kept in ``index`` with each file's size, times and inode, so a second call reads no
    file that looks unchanged. As in git's index (its documentation, "racy git"), a file that was
    written just before it was read is read again: one more change within the same tick of the clock
    would not show. An index that cannot be read or written costs time, nothing else.

    Args:
        files: what to hash.
        folder: the task's, out of which nothing may lead.
        index: safetensors file to keep the hashes in.
        title: for the progress bar.

    Raises:
        UserError: a file is not there, cannot be read, is no ordinary one, or leads out of
            ``folder``.
    """
    task = TaskFiles(folder)
    now = time.time_ns()
    found = [stamp_of(task.status(file)) for file in files]
    stamps = torch.tensor(found, dtype=torch.int64).view(-1, 4)
    fresh = torch.tensor([is_fresh(stamp, now) for stamp in found], dtype=torch.bool)
    names = hashlib.sha256(b"\0".join(map(os.fsencode, files))).hexdigest()
    return kept_hashes(files, names, stamps, index, title, fresh)


def kept_hashes(
    files: Sequence[Encoded],
    names: str,
    stamps: Tensor,
    index: Path,
    title: str,
    fresh: Tensor | None = None,
) -> Tensor:
    """Return the sha256 of each of ``files``, uint8 ``[n, 32]``.

    Those that ``index`` has under the same ``names`` with the same stamps are not computed again.

    Args:
        files: what to hash.
        names: which files these are.
        stamps: int64 ``[n, k]``, another one where a file has changed.
        index: safetensors file to keep the hashes in.
        title: for the progress bar.
        fresh: bool ``[n]``, those whose stamp may be that of a later change too: the next call
            computes them again.

    Raises:
        UserError: a file cannot be read.
    """
    hashes = torch.zeros(len(files), 32, dtype=torch.uint8)
    known = torch.zeros(len(files), dtype=torch.bool)
    kept = _read(index, names, stamps.shape)
    if kept is not None:
        known = (kept["stamps"] == stamps).all(dim=1)
        hashes[known] = kept["hashes"][known]
    missing = (~known).nonzero().flatten().tolist()
    if not missing:
        return hashes
    work = in_threads(lambda row: _sha256(files[row]), missing)
    for row, digest in tqdm(work, f"hashing {title}", len(missing), leave=False, disable=None):
        hashes[row] = torch.frombuffer(bytearray(digest), dtype=torch.uint8)
    if fresh is not None:
        stamps = stamps.masked_fill(fresh[:, None], -1)
    try:
        write_tensors(index, {"stamps": stamps, "hashes": hashes}, {"names": names})
    except OSError as error:
        log.warning("cannot keep file hashes in %s: %s", index, error.strerror)
    return hashes


def stamp_of(status: os.stat_result) -> tuple[int, int, int, int]:
    """Return what changes with a file: size, time of change, that of its status, inode.

    ``touch -r`` and ``cp -p`` give the first time back, not the second.
    """
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino % 2**63


def is_fresh(stamp: tuple[int, int, int, int], now: int) -> bool:
    """Whether a file with this stamp was written just before ``now``, so that one more change may
    leave the stamp as it is."""
    return max(stamp[1:3]) > now - _TICK


def _sha256(file: Encoded) -> bytes:
    try:
        return hashlib.sha256(file.read_bytes()).digest()
    except OSError as error:
        raise UserError(f"cannot read the image {file}: {error.strerror or error}.") from None


def _read(index: Path, names: str, shape: torch.Size) -> dict[str, Tensor] | None:
    if not os.path.isfile(index):  # nor where the folder is another user's
        return None
    try:
        kept, metadata = read_tensors_and_metadata(index)
    except UserError:
        return None
    right = (
        metadata.get("names") == names
        and kept.keys() == {"stamps", "hashes"}
        and kept["stamps"].shape == shape
        and kept["hashes"].shape == (shape[0], 32)
    )
    return kept if right else None
