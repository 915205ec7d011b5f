"""Reading and writing files so that a reader never sees half of one.

Folders of runs are sent around and shared, so whoever made one may have put a link, a pipe or
something endless in the place of a file: nothing here is read from or written to through them.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import re
import stat
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from hydra_peft.errors import UserError
from hydra_peft.links import leads_nowhere, missing
from hydra_peft.plain_text import shortened
from hydra_peft.quoting import of_file, unquoted

#: no json file of this project comes near it; a larger one is not ours
MAX_JSON_BYTES = 16 * 2**20
_KINDS = {list: "list", str: "text", bool: "truth value", int: "number", float: "number"}
#: what may be in the place of a file
_OTHERS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
)


def named_path(value: object, what: str) -> Path:
    """Return the path that a caller named, ``~`` as the home folder.

    Raises:
        UserError: ``value`` is no text, empty, the address of something elsewhere, as
            ``hf://user/name``, or holds what no file's name can.
    """
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else ""
    with contextlib.suppress(UnicodeError):
        is_name = isinstance(text, str) and text and not re.match(r"\w{2,}://", text)
        if is_name and b"\0" not in os.fsencode(text):
            return Path(os.path.expanduser(text))
    shown = repr(str(value)) if isinstance(value, str | Path) else f"a {type(value).__name__}"
    raise UserError(f"{what} is {shown}, expected the path of a file or a folder here.")


def real_path(path: Path) -> Path:
    """Return ``path`` as an absolute one without links, ``~`` as the home folder; where links lead
    in a circle, that far."""
    return Path(os.path.realpath(os.path.expanduser(path)))  # Path.resolve() gives up on circles


def atomic_write(path: Path, content: bytes) -> None:
    """Write ``content`` to ``path`` in one step: temporary file beside it, fsync, rename, fsync.

    Parent folders are made. A failure leaves the earlier file, or none, and no temporary file.
    What was written is there after a power failure too, where the file system can promise it.

    Raises:
        OSError: the disk is full or the folder not writable.
    """
    open_anew(path, content).close()


def open_anew(path: Path, content: bytes = b"") -> BinaryIO:
    """Open a new file that begins with ``content`` and takes the place of whatever ``path`` names.

    As :func:`atomic_write`: a link or a pipe of that name is replaced and not written through.

    Raises:
        OSError: the disk is full or the folder not writable.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    file = os.fdopen(handle, "wb")
    try:
        file.write(content)
        file.flush()
        os.fsync(handle)
        # mkstemp makes files private; results are to be read like any other file.
        umask = os.umask(0)
        os.umask(umask)
        os.fchmod(handle, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):  # what could not be written is tried again here
            file.close()
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            # "No space left" comes without a name; the message to the user needs one.
            error.filename = str(path)
        raise
    # A name is in its folder, and that has to reach the disk like the content.
    for folder in (path.parent, *(folder.parent for folder in made)):
        _sync_folder(folder)
    return file


def open_to_append(path: Path) -> BinaryIO:
    """Open ``path`` to write at its end, or anew where it is no regular file of its own.

    A second name of a file elsewhere (a hard link) becomes a copy.

    Raises:
        OSError: the disk is full or the folder not writable.
    """
    earlier = b""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ELOOP, errno.ENXIO):
            raise
    else:
        state = os.fstat(handle)
        if stat.S_ISREG(state.st_mode) and state.st_nlink == 1:
            return os.fdopen(handle, "ab")
        os.close(handle)
        if stat.S_ISREG(state.st_mode):
            earlier = content_of(path, state.st_size) or b""
    return open_anew(path, earlier)


@contextlib.contextmanager
def written_by_name(path: Path) -> Iterator[Path]:
    """Give the name of a file to be written by who takes a name only; rename it to ``path``."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        temporary = Path(folder, path.name)
        yield temporary
        os.replace(temporary, path)


def open_own(path: Path) -> int:
    """Open ``path`` to read and write in it; return the descriptor.

    A new, empty file takes the place of a link, a pipe or a second name of a file elsewhere.

    Raises:
        OSError: the disk is full, the folder not writable, or a folder has that name.
    """
    with contextlib.suppress(FileNotFoundError):
        state = os.lstat(path)
        if stat.S_ISDIR(state.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(state.st_mode) or state.st_nlink > 1:
            os.unlink(path)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)


def own_folder(path: Path) -> None:
    """Make the folder ``path``; a link or a file of that name goes first, not what it leads to.

    Raises:
        OSError: it cannot be made.
    """
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        path.unlink()
    path.mkdir(parents=True, exist_ok=True)


def _sync_folder(folder: Path) -> None:
    """Write to the disk which names ``folder`` holds; not all file systems know how to."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write ``value`` as indented json, atomically; NaN and infinity are refused.

    Raises:
        OSError: see :func:`atomic_write`.
        ValueError: a number that json does not have.
    """
    atomic_write(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def open_regular(path: Path, *, links: bool = False) -> BinaryIO:
    """Open the regular file ``path`` for reading.

    Args:
        links: follow a link of that name: for what is only computed with and never shown.

    Raises:
        FileNotFoundError: there is none.
        UserError: it is a link or no regular file, or cannot be opened.
    """
    try:
        # Without O_NONBLOCK opening a pipe would wait for a writer.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | (0 if links else os.O_NOFOLLOW))
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno == errno.ELOOP and path.is_symlink() and not links:
            raise UserError(
                f"{path} is a link, which may lead to anything: put the file itself there."
            ) from None
        if error.errno == errno.ELOOP:
            what = f"it is {leads}" if (leads := leads_nowhere(path)) else missing(path)
            raise UserError(f"cannot read {path}: {what}.") from None
        if error.errno == errno.ENXIO:
            raise UserError(no_ordinary_file(path)) from None
        raise UserError(f"cannot read {path}: {error.strerror or error}.") from None
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise UserError(no_ordinary_file(path))
    return os.fdopen(handle, "rb")


def no_ordinary_file(path: Path, remedy: str = "move it away, and put the file there") -> str:
    """Return a sentence on ``path``, which is there and no regular file: what it is, what to do."""
    mode = os.stat(path).st_mode
    what = next((name for fits, name in _OTHERS if fits(mode)), "a device")
    return f"{path} is no ordinary file but {what}: {remedy}."


def content_of(path: Path, most: int, *, links: bool = False, tail: bool = False) -> bytes | None:
    """Read the regular file ``path``; None where there is no such file.

    Args:
        most: how many bytes it may have.
        links: as of :func:`open_regular`.
        tail: give the last ``most`` bytes of a larger one.

    Raises:
        UserError: it is no regular file, too large, or cannot be read.
    """
    try:
        with open_regular(path, links=links) as file:
            size = os.fstat(file.fileno()).st_size
            if size > most and not tail:
                raise UserError(f"{path} is larger than {most} bytes: not a file of ours.")
            file.seek(max(0, size - most))
            return file.read(min(most, size) or most)  # so much memory is taken at once
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}.") from None


def text_of(path: Path, most: int = 2**24) -> str:
    """Return the text in the file ``path``, which a user names: UTF-8 of at most ``most`` bytes.

    Raises:
        UserError: it is not there, no regular file, too large, or no such text.
    """
    content = content_of(path, most, links=True)
    if content is None:
        raise UserError(f"cannot read {path}: {os.strerror(errno.ENOENT)}.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is no text in UTF-8 ({error.reason} at byte {error.start}): save it as such."
        ) from None


def sha256_of(path: Path, *, links: bool = False) -> str:
    """Return the sha256 of the regular file ``path`` in hexadecimal digits.

    Args:
        links: as of :func:`open_regular`.

    Raises:
        UserError: it is no regular file, or cannot be read.
    """
    try:
        with open_regular(path, links=links) as file:
            digest = hashlib.sha256()
            while part := file.read(2**20):
                digest.update(part)
            return digest.hexdigest()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}.") from None


def read_json(path: Path, *, links: bool = False) -> dict[str, Any]:
    """Return the json object in ``path``; every text in it is one that can be printed.

    Args:
        links: as of :func:`open_regular`.

    Raises:
        UserError: no such file, not readable, too large, or not a json object.
    """
    content = content_of(path, MAX_JSON_BYTES, links=links)
    if content is None:
        raise UserError(f"cannot read {path}: {os.strerror(errno.ENOENT)}.")
    try:
        text = content.decode("utf-8-sig")
        # What write_json refuses is not read either.
        with unquoted() if links and path.is_symlink() else contextlib.nullcontext():
            value = json.loads(
                text, parse_constant=_finite, parse_float=_finite, object_pairs_hook=_once
            )
        value = whole_texts(value) if "\\ud" in text.lower() else value
    except (ValueError, RecursionError) as error:  # the latter: nested without end
        reason = what_is_no_json(error)
        raise UserError(f"{path} is not valid json ({reason}): truncated or edited?") from None
    if not isinstance(value, dict):
        kind = _KINDS.get(type(value), "single value")
        raise UserError(f"{path} holds a {kind} where a json object was expected.")
    return value


def what_is_no_json(error: Exception) -> str:
    """Return in words what :mod:`json` found wrong with a file."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg.lower()} in line {error.lineno}, column {error.colno}"
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start + 1} is not UTF-8 text"
    if isinstance(error, RecursionError):
        return "lists or objects are nested too deeply"
    if "integer string conversion" in str(error):
        return f"a number has more than {sys.get_int_max_str_digits()} digits"
    return str(error)


def whole_texts(value: Any) -> Any:
    r"""Return ``value`` with halves of characters written out, as ``\ud800``.

    They come of names of files that are no text; neither a terminal nor a picture takes them.
    """
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, list):
        return [whole_texts(item) for item in value]
    if isinstance(value, dict):
        return {whole_texts(key): whole_texts(item) for key, item in value.items()}
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object of ``pairs``; readers differ in which of two equal keys counts."""
    found = dict(pairs)
    if len(found) < len(pairs):
        [(twice, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {of_file(shortened(repr(twice), 60))} is there twice")
    return found


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{of_file(text[:20])} is not a finite number")
    return value
