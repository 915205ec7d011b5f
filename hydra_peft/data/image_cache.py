"""Decoded images on disk: uint8, memory-mapped, checked block by block before they are used.

One split in one size is two files: ``<key>.u8`` with the bytes of ``[n, height, width, 3]`` and
``<key>.json`` with a checksum for each block of 64 images. The json is written last: without it
there is no cache. A cache being built is ``<key>.partial`` with a journal of finished blocks, from
which a killed build goes on.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import re
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from hydra_peft.data.cache import ELSEWHERE
from hydra_peft.data.decoding import TRANSFORM, decode, in_threads
from hydra_peft.data.split import Images
from hydra_peft.disk_errors import unwritten
from hydra_peft.errors import UserError
from hydra_peft.files import content_of, open_own, open_to_append, read_json, write_json

log = logging.getLogger(__name__)

BLOCK = 64
_SCHEMA = 1
#: some 20 bytes for each block of 64 images
_MAX_JOURNAL_BYTES = 16 * 2**20


class CachedPixels:
    """Images of one split in one size, read from the cache; see :func:`open_cache`.

    Slicing returns uint8 ``[k, 3, height, width]``. The first time a block is touched its checksum
    is compared; a damaged one is decoded again, in the file too.
    """

    def __init__(self, images: Images, size: tuple[int, int], path: Path, sums: list[int]) -> None:
        self.images = images
        self.size = size
        self.path = path
        self.sums = sums
        self.shape = (len(images), *size, 3)
        self.map = np.memmap(path, dtype=np.uint8, mode="r", shape=self.shape)
        self.checked = [False] * len(sums)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice) -> Tensor:
        start, stop, step = rows.indices(len(self))
        assert step == 1, "a split is read in consecutive rows"
        for block in range(start // BLOCK, -(-stop // BLOCK)):
            if not self.checked[block]:
                self._check(block)
        # Turned block by block, which stays in a processor's cache, and no second copy of all.
        pixels = torch.empty(stop - start, 3, *self.size, dtype=torch.uint8)
        for first in range(start, stop, BLOCK):
            end = min(stop, first + BLOCK)
            read = torch.from_numpy(np.array(self.map[first:end]))
            pixels[first - start : end - start] = read.permute(0, 3, 1, 2)
        return pixels

    def _check(self, block: int) -> None:
        first, end = _rows(block, len(self))
        if zlib.crc32(self.map[first:end].data) != self.sums[block]:
            log.warning(
                "images %d to %d of the image cache %s are damaged: they are decoded again",
                first,
                end - 1,
                self.path,
            )
            fresh = decode(self.images, first, end, self.size)
            with _writing(self.path), open(self.path, "r+b", opener=_no_link) as file:
                _write_block(file.fileno(), first, fresh)
            self.sums[block] = zlib.crc32(fresh.data)
            _write_header(self.path, self.shape, self.sums)
        self.checked[block] = True


def open_cache(images: Images, *, size: tuple[int, int], folder: Path, title: str) -> CachedPixels:
    """Return ``images`` in ``size`` from the cache in ``folder``, building it if it is not there.

    The key is the content of the images and the transform: tasks that share images share a cache,
    and changed images have another. Of processes that want the same cache one builds, the others
    wait.

    Args:
        images: the images.
        size: height and width in pixels.
        folder: where caches are.
        title: for the progress bar.

    Raises:
        UserError: an image cannot be read, or the cache cannot be written.
    """
    text = f"{images.sha256} {TRANSFORM} {size[0]}x{size[1]}"
    path = folder / "images" / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.u8"
    shape = (len(images), *size, 3)
    sums = _read_header(path, shape)
    if sums is None:
        with _writing(path), _locked(path, title):
            sums = _read_header(path, shape)  # another process may have built it meanwhile
            if sums is None:
                sums = _build(images, size, path, title)
    return CachedPixels(images, size, path, sums)


def _build(images: Images, size: tuple[int, int], path: Path, title: str) -> list[int]:
    shape = (len(images), *size, 3)
    partial, journal = path.with_suffix(".partial"), path.with_suffix(".journal")
    blocks = range(-(-len(images) // BLOCK))
    handle = open_own(partial)
    try:
        _reserve(handle, partial, int(np.prod(shape)))
        done = _finished_blocks(journal, handle, shape)

        def work(block: int) -> int:
            first, end = _rows(block, len(images))
            pixels = decode(images, first, end, size)
            _write_block(handle, first, pixels)
            return zlib.crc32(pixels.data)

        missing = [block for block in blocks if block not in done]
        with (
            open_to_append(journal) as notes,
            tqdm(total=len(images), desc=f"decoding {title}", leave=False, disable=None) as bar,
        ):
            bar.update(min(len(images), len(done) * BLOCK))
            for block, checksum in in_threads(work, missing):
                done[block] = checksum
                notes.write(f"{block} {checksum}\n".encode())
                notes.flush()
                bar.update(BLOCK)
        os.fsync(handle)
    finally:
        os.close(handle)
    sums = [done[block] for block in blocks]
    os.replace(partial, path)
    _write_header(path, shape, sums)
    journal.unlink()
    return sums


def _reserve(handle: int, partial: Path, size: int) -> None:
    """Take the space now: running out of it later would cost hours of decoding."""
    try:
        os.posix_fallocate(handle, 0, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            partial.unlink()
            raise
        # This file system cannot reserve: running out of space is then an error of writing.
    os.ftruncate(handle, size)


def _finished_blocks(journal: Path, handle: int, shape: tuple[int, ...]) -> dict[int, int]:
    """Return checksums of the blocks that an earlier build finished and that are still right."""
    done: dict[int, int] = {}
    try:
        lines = (content_of(journal, _MAX_JOURNAL_BYTES, tail=True) or b"").splitlines()
    except UserError:  # a link or a pipe, which a journal takes the place of
        return done
    size = int(np.prod(shape[1:]))
    for line in lines:
        words = re.fullmatch(rb"([0-9]{1,12}) ([0-9]{1,12})", line)
        if words is None:
            continue  # the line being written when the build was killed, or none of ours
        block, checksum = int(words[1]), int(words[2])
        first, end = _rows(block, shape[0])
        if (
            first < end
            and zlib.crc32(_read(handle, first * size, (end - first) * size)) == checksum
        ):
            done[block] = checksum
    return done


def _no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)


def _rows(block: int, count: int) -> tuple[int, int]:
    return block * BLOCK, min(count, (block + 1) * BLOCK)


def _read(handle: int, offset: int, size: int) -> bytes:
    pieces = []
    while size and (piece := os.pread(handle, size, offset)):
        pieces.append(piece)
        offset, size = offset + len(piece), size - len(piece)
    return b"".join(pieces)


def _write_block(handle: int, first: int, pixels: np.ndarray) -> None:
    """Write through the file, not the map: a full disk is then an error, not a killed process."""
    content, offset = pixels.data.cast("B"), first * pixels[0].nbytes
    while content:
        written = os.pwrite(handle, content, offset)
        content, offset = content[written:], offset + written


def _write_header(path: Path, shape: tuple[int, ...], sums: list[int]) -> None:
    header: dict[str, Any] = {"schema": _SCHEMA, "shape": list(shape), "crc32": sums}
    header["of"] = path.stem
    write_json(path.with_suffix(".json"), header)


def _read_header(path: Path, shape: tuple[int, ...]) -> list[int] | None:
    """Return the checksums of the blocks, or None where there is no cache of that shape."""
    header = path.with_suffix(".json")
    if not os.path.lexists(header) or not os.path.lexists(path):
        return None
    try:
        values = read_json(header)
    except UserError:
        values = {}
    sums = values.get("crc32")
    blocks = -(-shape[0] // BLOCK)
    right = (
        stat.S_ISREG((found := os.lstat(path)).st_mode)
        and found.st_nlink == 1  # a damaged block is written anew in the file itself
        and values.get("schema") == _SCHEMA
        and values.get("shape") == list(shape)
        and values.get("of", path.stem) == path.stem  # none of other images in its place
        and isinstance(sums, list)
        and len(sums) == blocks
        and found.st_size == int(np.prod(shape))
    )
    if not right:
        log.warning("the image cache %s is damaged, or may not be read: it is made anew", path)
        return None
    return sums


@contextmanager
def _locked(path: Path, title: str) -> Iterator[None]:
    """Hold the right to build ``path``; the system gives it back if the process dies."""
    with os.fdopen(open_own(path.with_suffix(".lock")), "r+b") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.warning("another process decodes %s: waiting for it", title)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn an error of the disk into a sentence."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        elsewhere = f"{ELSEWHERE}, or data.cache=none of train.py"
        raise unwritten(f"the image cache {path}", error, elsewhere) from None
