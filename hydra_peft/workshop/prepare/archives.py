"""Archives, unpacked safely: nothing outside the target, bounded, all of it or nothing.

No link is made: a hard link to an earlier file of the same tar, which is how ``tar`` stores a file
that has two names, becomes a copy; every other link is refused.

Tar files are read by a forward-only stream of our own, because ``tarfile`` takes a file that was
cut off between two members, or in a member's header, for a complete one.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import lzma
import os
import re
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
from typing import IO, Any, cast

from tqdm import tqdm

from hydra_peft.errors import UserError

#: more than the largest original, the 2015 retinopathy images, unpacks to
MAX_BYTES = 256 * 2**30
#: more than all 19 tasks of VTAB-1k in one archive have
MAX_FILES = 1_000_000

_CHUNK = 2**20
_PACKED: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
_ZIPS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_BY_HAND = {b"Rar!\x1a\x07": "rar", b"7z\xbc\xaf\x27\x1c": "7z"}
#: what the readers of the standard library raise for a file that is not what it says
_DAMAGED = (
    EOFError,
    zlib.error,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    struct.error,
    ValueError,
    IndexError,
    OverflowError,
    RecursionError,
)


def extract(
    archive: Path, target: Path, *, max_bytes: int = MAX_BYTES, max_files: int = MAX_FILES
) -> None:
    """Unpack ``archive`` into the new folder ``target``, all of it or nothing.

    Reads tar (plain or packed by gzip, bzip2, xz), zip, and single packed files, by content rather
    than by name. Files get ordinary permissions and the present time.

    Args:
        archive: the file.
        target: a folder that does not exist; its parents are made.
        max_bytes: most bytes that all members together may have, as declared and as written.
        max_files: most members.

    Raises:
        UserError: not an archive that is read here, truncated, damaged or encrypted; a member that
            is a device or a link (but for hard links to an earlier file of the same tar, which are
            unpacked as copies), or that would leave the folder; too many or too large members.
        OSError: the disk is full or the folder not writable. Either way nothing is left behind.
    """
    if not archive.is_file():
        raise UserError(f"there is no archive {archive}.")
    if target.exists() or target.is_symlink():
        raise UserError(f"{target} exists already: remove it to unpack {archive.name} again.")
    new_parent = not target.parent.exists()
    target.parent.mkdir(parents=True, exist_ok=True)
    # Hidden, so that nobody who looks for unpacked files finds half of them.
    folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}.partial-"))
    try:
        output = _Output(archive, folder, max_bytes, max_files)
        with _complaints(archive):
            _unpack(archive, output)
        if output.files == 0:
            raise UserError(f"{archive} holds no file: fetch it again.")
        folder.chmod(0o777 & ~_umask())
        folder.rename(target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        if new_parent:
            with suppress(OSError):
                target.parent.rmdir()
        raise


def _unpack(archive: Path, output: _Output) -> None:
    with archive.open("rb") as file:
        start = file.read(512)
        file.seek(0)
        for magic, kind in _BY_HAND.items():
            if start.startswith(magic):
                raise UserError(_unpack_by_hand(archive, kind))
        if start.startswith(_ZIPS):
            _unpack_zip(file, output)
            return
        opened = next((o for magic, o in _PACKED.items() if start.startswith(magic)), None)
        if opened is not None:
            with opened(file) as content:
                start = content.read(512)
            file.seek(0)
        if _is_tar_header(start):
            with _bar(archive) as bar, (opened or _as_it_is)(file) as content:
                _unpack_tar(_Forward(content, file, bar), output, packed=opened is not None)
        elif opened is not None and not _named_tar(archive):
            with _bar(archive) as bar, opened(file) as content:
                output.write(archive.stem, _Forward(content, file, bar))
        else:
            raise UserError(_foreign(archive, start, packed=opened is not None))


class _Output:
    """Writes members below ``folder``, and refuses what does not belong there.

    Attributes:
        files: how many files were written.
    """

    def __init__(self, archive: Path, folder: Path, max_bytes: int, max_files: int) -> None:
        self.archive = archive
        self.folder = folder
        self.max_bytes = max_bytes
        self.max_files = max_files
        self.files = 0
        self._members = 0
        self._left = max_bytes
        self._copies: set[Path] = set()

    def declare(self, size: int) -> None:
        """Refuse members whose declared size, in bytes, is more than is left."""
        if size > self._left:
            raise UserError(
                f"{self.archive} would unpack to more than {self.max_bytes:,} bytes, which no "
                "original does: fetch it again, or unpack it by hand."
            )

    def make_folder(self, name: str) -> None:
        """Make the folder ``name``."""
        self._place(name).mkdir(parents=True, exist_ok=True)

    def write(self, name: str, content: Any) -> Path:
        """Write what ``content.read(n)`` returns to the file ``name``; return its path."""
        path = self._place(name)
        if path == self.folder:
            raise self.refusal(name, "has no name")
        self._copies.discard(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = path.open("wb")
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            raise self.refusal(name, "is a file and a folder at once") from None
        with file:
            while block := content.read(_CHUNK):
                self._left -= len(block)
                # Counted as written: what a header declares is only a claim.
                self.declare(0)
                _write(file, block, path)
        self.files += 1
        return path

    def copy(self, name: str, target: str) -> None:
        """Write to the file ``name`` what the earlier file ``target`` holds.

        A copy, so that a later member of one of the names leaves the other as it is.
        """
        source = self._below(target)
        stored = source is not None and source not in self._copies and source.is_file()
        if source is None or not stored or source == self._below(name):
            raise self.refusal(
                name, f"is a hard link to {target!r}, which is no file stored earlier in it"
            )
        self.declare(source.stat().st_size)
        with source.open("rb") as content:
            self._copies.add(self.write(name, content))

    def refusal(self, name: str, reason: str) -> UserError:
        """Return the error about member ``name``."""
        return UserError(
            f"{self.archive}: its member {name!r} {reason}; nothing was unpacked, so fetch the "
            "archive again or unpack it by hand where you trust it."
        )

    def _place(self, name: str) -> Path:
        self._members += 1
        if self._members > self.max_files:
            raise UserError(
                f"{self.archive} has more than {self.max_files:,} members, which no original has: "
                "fetch it again, or unpack it by hand."
            )
        path = self._below(name)
        if path is None:
            raise self.refusal(name, "has a path that leaves the folder, or a backslash")
        return path

    def _below(self, name: str) -> Path | None:
        """Return the path of ``name`` below the folder; None where it would leave it."""
        parts = [part for part in name.split("/") if part not in ("", ".")]
        absolute = name.startswith("/") or re.match(r"[A-Za-z]:", name) is not None
        if absolute or ".." in parts or "\\" in name or "\0" in name:
            return None
        return self.folder.joinpath(*parts)


class _Forward(io.RawIOBase):
    """Forward-only file for ``tarfile``: bounded reads, remembers the last piece.

    Args:
        content: unpacked bytes.
        file: the packed file, whose position is the progress.
        bar: shows it.
    """

    def __init__(self, content: IO[bytes], file: IO[bytes], bar: tqdm[Any]) -> None:
        self._content = content
        self._file = file
        self._bar = bar
        self._position = 0
        self.last = b""

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence != os.SEEK_SET or offset < self._position:
            raise tarfile.ReadError("its members are not in order")
        while offset > self._position and self.read(min(_CHUNK, offset - self._position)):
            pass
        return self._position

    def read(self, size: int = -1) -> bytes:
        # Member data is asked for in chunks; more at once is a header that lies about its length.
        if not 0 <= size <= _CHUNK:
            raise tarfile.ReadError(f"a header of {size} bytes")
        pieces = []
        while size and (piece := self._content.read(size)):
            pieces.append(piece)
            size -= len(piece)
        self.last = b"".join(pieces)
        self._position += len(self.last)
        self._bar.update(self._file.tell() - self._bar.n)
        return self.last


def _unpack_tar(stream: _Forward, output: _Output, *, packed: bool) -> None:
    archive: Any = tarfile.TarFile(fileobj=cast(Any, stream), mode="r")
    while (member := archive.next()) is not None:
        archive.members.clear()  # it would keep every member of a million
        if member.isdir():
            output.make_folder(member.name)
            continue
        if member.islnk():
            output.copy(member.name, member.linkname)
            continue
        if not member.isreg():
            raise output.refusal(member.name, f"is {_tar_kind(member)}, which is not unpacked")
        if member.size < 0:
            raise tarfile.ReadError(f"member {member.name!r} has a negative size")
        output.declare(member.size)
        content = archive.extractfile(member)
        assert content is not None
        output.write(member.name, content)
    if stream.last != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("its end is missing")
    if packed:
        # The packer's checksum stands at the very end.
        rest = 0
        while block := stream.read(_CHUNK):
            rest += len(block)
            output.declare(rest)


def _tar_kind(member: tarfile.TarInfo) -> str:
    if member.issym():
        return "a symbolic link"
    return "a fifo" if member.isfifo() else "a device or of an unknown kind"


def _unpack_zip(file: IO[bytes], output: _Output) -> None:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        total = sum(member.file_size for member in members)
        output.declare(total)
        free = shutil.disk_usage(output.folder).free
        if total > free:
            raise OSError(
                errno.ENOSPC, f"{total:,} bytes needed, {free:,} free", str(output.folder.parent)
            )
        with _progress(total, output.archive.name) as bar:
            for member in members:
                _unpack_zip_member(archive, member, output)
                bar.update(member.file_size)


def _unpack_zip_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo, output: _Output) -> None:
    # The name as stored: zipfile cuts at a NUL, and others read on.
    name = member.orig_filename
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        word = "a symbolic link" if kind == stat.S_IFLNK else "a device or a fifo"
        raise output.refusal(name, f"is {word}, which is not unpacked")
    if member.flag_bits & 1:
        raise output.refusal(name, "is encrypted")
    if member.is_dir():
        output.make_folder(name)
        return
    with archive.open(member) as content:
        output.write(name, content)


@contextmanager
def _complaints(archive: Path) -> Iterator[None]:
    """Turn what readers raise about a broken file into a sentence; let errors of the disk pass."""
    try:
        yield
    except UserError:
        raise
    except _DAMAGED as error:
        raise UserError(_damaged(archive, error)) from None
    except NotImplementedError as error:
        raise UserError(
            f"{archive} is packed in a way that Python cannot read ({error}): unpack it by hand, "
            f"in {archive.parent}."
        ) from None
    except OSError as error:
        # gzip and bz2 say "damaged" with an OSError that has no number.
        if error.errno is None:
            raise UserError(_damaged(archive, error)) from None
        if error.errno == errno.ENAMETOOLONG:
            raise UserError(f"{archive} has a member whose name is too long here.") from None
        raise


def _write(file: IO[bytes], block: bytes, path: Path) -> None:
    try:
        file.write(block)
        file.flush()
    except OSError as error:
        # "No space left" comes without a name; the message to the user needs one.
        error.filename = error.filename or str(path)
        # Closing would try to write the same bytes again.
        with suppress(OSError):
            file.close()
        raise


def _named_tar(archive: Path) -> bool:
    return ".tar" in archive.suffixes or archive.suffix in (".tgz", ".tbz", ".tbz2", ".txz")


def _is_tar_header(block: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(block, tarfile.ENCODING, "surrogateescape")
    except tarfile.TarError:
        return False
    return True


@contextmanager
def _as_it_is(file: IO[bytes]) -> Iterator[IO[bytes]]:
    yield file


def _bar(archive: Path) -> tqdm[Any]:
    return _progress(archive.stat().st_size, archive.name)


def _progress(total: int, name: str) -> tqdm[Any]:
    # disable=None: no bar where nobody watches
    return tqdm(total=total, unit="B", unit_scale=True, desc=f"unpack {name}", disable=None)


def _damaged(archive: Path, error: Exception) -> str:
    reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return f"{archive} is truncated or damaged ({reason}): fetch it again."


def _foreign(archive: Path, start: bytes, *, packed: bool) -> str:
    if packed:
        return f"{archive} should hold a tar file and does not, or is damaged: fetch it again."
    page = start.lstrip().lower().startswith((b"<!doctype", b"<html"))
    what = "a web page, as sites send instead of a file" if page else "none of these"
    return f"{archive} should be a tar, zip or gz archive and is {what}: fetch it again."


def _unpack_by_hand(archive: Path, kind: str) -> str:
    tools = f"'7z x {archive.name}'"
    if kind == "rar":
        tools = f"'unrar x {archive.name}' or {tools}"
    return (
        f"{archive} is a {kind} archive, which Python cannot unpack: run {tools} in "
        f"{archive.parent}, so that the folders it holds lie beside it, and start again."
    )


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask
