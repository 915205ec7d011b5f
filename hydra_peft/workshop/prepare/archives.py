"""Archives, unpacked safely: nothing outside the target, bounded, all of it or nothing.

What a name may be and lead to is decided by the standard library: tarfile's ``data`` filter (PEP
706), and zipfile, which takes out of a name whatever leads elsewhere.
"""

from __future__ import annotations

import errno
import gzip
import lzma
import os
import shutil
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tqdm import tqdm

from hydra_peft.errors import UserError

#: more than the largest original, the 2015 retinopathy images, unpacks to
MAX_BYTES = 256 * 2**30
#: more than all 19 tasks of VTAB-1k in one archive have
MAX_FILES = 1_000_000

_CHUNK = 2**20
_GZIP = b"\x1f\x8b"
_PACKED = (_GZIP, b"BZh", b"\xfd7zXZ\x00")
_BY_HAND = {b"Rar!\x1a\x07": "unrar x", b"7z\xbc\xaf\x27\x1c": "7z x"}
#: what the readers of the standard library raise for a file that is not what it says
_DAMAGED = (
    *(EOFError, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile, struct.error),
    *(ValueError, LookupError, OverflowError, RecursionError),
)
#: what two members of one place, or a name that is too long, come to
_NAMES = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG)


def check_archive(archive: Path) -> None:
    """Check that there is a file ``archive``.

    Raises:
        UserError: there is none, or something else is in its place.
    """
    if not os.path.isfile(archive):
        there = os.path.lexists(archive)
        what = f"{archive} is no file" if there else f"there is no archive {archive}"
        raise UserError(f"{what}: give the archive as it was downloaded.")


def extract(
    archive: Path, target: Path, *, max_bytes: int = MAX_BYTES, max_files: int = MAX_FILES
) -> None:
    """Unpack ``archive`` into the new folder ``target``, all of it or nothing.

    Tar (plain, gzip, bzip2, xz), zip, and single gzip files are told by their content.

    Args:
        max_bytes, max_files: more are refused.

    Raises:
        UserError: there is no such archive, ``target`` exists, or the archive is damaged, foreign,
            too large, or has members that may not be unpacked.
        OSError: the disk is full or the folder not writable.
    """
    check_archive(archive)
    if os.path.lexists(target):
        raise UserError(f"{target} exists already: remove it to unpack {archive.name} again.")
    new_parent = not target.parent.exists()
    target.parent.mkdir(parents=True, exist_ok=True)
    # Hidden, so that nobody who looks for unpacked files finds half of them.
    folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.partial-"))
    try:
        with _complaints(archive):
            _unpack(archive, folder, _Bounds(archive, max_bytes, max_files))
        if not any(path.is_file() for path in folder.rglob("*")):
            raise UserError(f"{archive} holds no file: fetch it again.")
        umask = os.umask(0)
        os.umask(umask)
        folder.chmod(0o777 & ~umask)
        folder.rename(target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        if new_parent:
            with suppress(OSError):
                target.parent.rmdir()
        raise


class _Bounds:
    """Counts members and bytes, and refuses what no original has."""

    def __init__(self, archive: Path, max_bytes: int, max_files: int) -> None:
        self.archive, self.max_bytes, self.max_files = archive, max_bytes, max_files
        self.members = self.bytes = 0

    def add(self, size: int, members: int = 1) -> None:
        """Count members of together ``size`` bytes, before they are written."""
        self.members += members
        self.bytes += size
        for count, most, what in (
            (self.members, self.max_files, "members"),
            (self.bytes, self.max_bytes, "bytes"),
        ):
            if count > most:
                raise UserError(
                    f"{self.archive} would unpack to more than {most:,} {what}, which no original "
                    "does: fetch it again, or unpack it by hand."
                )


def _unpack(archive: Path, folder: Path, bounds: _Bounds) -> None:
    with archive.open("rb") as file:
        start = file.read(512)
    for magic, tool in _BY_HAND.items():
        if start.startswith(magic):
            raise UserError(
                f"{archive} is an archive that Python cannot unpack: run '{tool} {archive.name}' "
                f"in {archive.parent}, so that the folders it holds lie beside it, and start again."
            )
    named = archive.name.endswith((".tar.gz", ".tgz"))  # what else it holds is damaged then
    if start.startswith(b"PK"):
        _unpack_zip(archive, folder, bounds)
    elif start.startswith(_GZIP) and not named and not _holds_tar(archive):
        with gzip.open(archive) as content, (folder / archive.stem).open("wb") as written:
            _drain(content, bounds, written.write)
    # Nothing but zeros, as a download that did not arrive, is an empty lzma stream every 13 bytes.
    elif start.startswith(_PACKED) or (any(start) and _holds_tar(archive)):
        _unpack_tar(archive, folder, bounds)
    else:
        page = start.lstrip().lower().startswith((b"<!doctype", b"<html"))
        what = "a web page, as sites send instead of a file" if page else "none of these"
        raise UserError(
            f"{archive} should be a tar, zip or gz archive and is {what}: fetch it again."
        )


def _holds_tar(archive: Path) -> bool:
    try:
        with tarfile.open(archive, "r:*") as tar:
            return tar.next() is not None
    except (OSError, *_DAMAGED):
        return False


def _unpack_tar(archive: Path, folder: Path, bounds: _Bounds) -> None:
    if not hasattr(tarfile, "data_filter"):  # came to 3.10 and 3.11 in the middle of their lives
        raise UserError(
            f"{archive} cannot be unpacked safely by this Python, which is too old for tarfile's "
            "filters: take 3.10.12, 3.11.4, 3.12 or newer."
        )
    with tarfile.open(archive, "r:*") as tar:
        for member in tqdm(tar, f"unpack {archive.name}", unit=" files", leave=False, disable=None):
            bounds.add(member.size)
            if member.issym():
                raise UserError(_link(archive, member.name))
            tar.extract(member, folder, filter=_data)
        content = tar.fileobj
        assert content is not None
        content.seek(tar.offset)
        # A file that was cut off, or is damaged from here on, is complete to tarfile.
        if content.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("its end is missing")
        _drain(content, bounds)  # the packer's checksum stands at the very end


def _data(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo:
    """Return ``member`` as the ``data`` filter lets it pass, with rights like any other file."""
    return tarfile.data_filter(member, folder).replace(mode=None, mtime=None, deep=False)  # type: ignore[arg-type]


def _drain(
    content: Any, bounds: _Bounds, write: Callable[[bytes], object] = lambda _: None
) -> None:
    while block := content.read(_CHUNK):
        bounds.add(len(block), 0)
        write(block)


def _unpack_zip(archive: Path, folder: Path, bounds: _Bounds) -> None:
    with zipfile.ZipFile(archive) as content:
        members = content.infolist()
        bounds.add(sum(member.file_size for member in members), len(members))
        for member in tqdm(members, f"unpack {archive.name}", leave=False, disable=None):
            if stat.S_ISLNK(member.external_attr >> 16):
                raise UserError(_link(archive, member.filename))
            content.extract(member, folder)


@contextmanager
def _complaints(archive: Path) -> Iterator[None]:
    """Turn what readers raise about a broken file into a sentence; let errors of the disk pass."""
    try:
        yield
    except UserError:
        raise
    except tarfile.FilterError as error:
        raise UserError(
            f"{archive}: {error}: nothing was unpacked, so fetch the archive again or unpack it by "
            "hand where you trust it."
        ) from None
    except (NotImplementedError, RuntimeError) as error:  # another packer's way; a password
        if isinstance(error, RecursionError):
            raise UserError(_damaged(archive, error)) from None
        raise UserError(
            f"{archive} is packed in a way that Python cannot read ({error}): unpack it by hand, "
            f"in {archive.parent}."
        ) from None
    except _DAMAGED as error:
        raise UserError(_damaged(archive, error)) from None
    except OSError as error:
        # gzip and bz2 say "damaged" with an OSError that has no number.
        if error.errno is None:
            raise UserError(_damaged(archive, error)) from None
        if error.errno in _NAMES:
            raise UserError(
                f"{archive} has members that cannot lie beside each other here ({error.strerror})."
            ) from None
        # "No space left" comes without a name; the message to the user needs one.
        error.filename = error.filename or str(archive.parent)
        raise


def _link(archive: Path, name: str) -> str:
    return f"{archive}: {name!r} is a link, which is not unpacked."


def _damaged(archive: Path, error: Exception) -> str:
    reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return f"{archive} is truncated or damaged ({reason}): fetch it again."
