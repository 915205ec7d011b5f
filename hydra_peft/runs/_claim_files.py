"""The files of claims: one folder a claimed folder, one small json file a generation.

Nothing here is synced: a claim need not outlive the machine that holds it, and what a power failure
leaves half written counts as damaged.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import stat
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hydra_peft.plain_text import in_one_line
from hydra_peft.runs._machine import Process

SCHEMA = 1
#: a claim of ours is padded to this size, so that it can be written again on a full disk
SIZE = 1024
#: more than this is never read of one
MAX_BYTES = 4096
_NAME = re.compile(r"([0-9]{8,})\.json", re.ASCII)
_TEMPORARY = re.compile(r"\.[0-9a-f]{32}\.tmp", re.ASCII)
_MISREAD_LIMIT = 20
#: what file systems without hard links answer
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


@dataclass(frozen=True)
class Holder:
    """A claim as its file states it.

    Attributes:
        generation: 1 for the first claim of a folder; the highest is the one that counts.
        mark: hash of the file's content: another one with every beat.
        token: random name of the claim; None, like all below, where the file is damaged.
        process: who made it.
        beat: number of the last heartbeat.
        since: when it was made, by the clock of its machine; for people only.
        released: whether it was given back.
        damaged: the file, where it is damaged.
    """

    generation: int
    mark: str
    token: str | None = None
    process: Process | None = None
    beat: int | None = None
    since: str | None = None
    released: bool = False
    damaged: Path | None = None

    def __str__(self) -> str:
        if self.process is None:
            return in_one_line(
                f"somebody unknown (the claim {self.damaged} is damaged: remove that file, if "
                "nobody does this run)"
            )
        # Anybody may have written the file.
        return in_one_line(f"process {self.process.pid} on {self.process.host} since {self.since}")


def latest(place: Path) -> Holder | None:
    """Return the claim of the highest generation in ``place``, None where there is none.

    Raises:
        OSError: it cannot be read.
    """
    for _ in range(_MISREAD_LIMIT):
        generation = highest(place)
        if generation == 0:
            return None
        if (found := read(place, generation)) is not None:
            return found
        # It was removed since, as lower than the highest by two: there are higher ones.
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(place))


def highest(place: Path) -> int:
    """Return the highest generation in ``place``, 0 where there is none."""
    try:
        matches = [_NAME.fullmatch(name) for name in os.listdir(place)]
    except FileNotFoundError:
        return 0
    return max((int(match[1]) for match in matches if match), default=0)


def read(place: Path, generation: int) -> Holder | None:
    """Return the claim of ``generation``, None if there is no such file."""
    path = _path(place, generation)
    content = _content(path)
    if content is None:
        return None
    mark = f"{generation}:{hashlib.sha256(content).hexdigest()}"
    try:
        return _parse(json.loads(content), generation, mark)
    except (ValueError, KeyError, RecursionError):
        return Holder(generation, mark, damaged=path)


def encode(token: str, process: Process, beat: int, since: str, released: bool) -> bytes:
    """Return the content of a claim's file."""
    state = "released" if released else "held"
    value = {"schema": SCHEMA, "token": token, **asdict(process)}
    text = json.dumps({**value, "beat": beat, "since": since, "state": state})
    return text.encode().ljust(SIZE - 1) + b"\n"


def create(place: Path, generation: int, token: str, content: bytes) -> bool:
    """Create the file of ``generation`` as a whole; False if there is one of somebody else.

    Raises:
        OSError: the disk is full or ``place`` not there or not writable.
    """
    target, temporary = _path(place, generation), place / f".{token}.tmp"
    try:
        _write_new(temporary, content)
        os.link(temporary, target)
    except FileExistsError:
        # A network file system that repeats a request whose answer was lost refuses what is done.
        found = read(place, generation)
        return found is not None and found.token == token
    except OSError as error:
        if error.errno not in _NO_LINKS or not temporary.exists():
            raise
        # Exclusive as well, but a reader may see it half written: damaged, so not taken over soon.
        with contextlib.suppress(FileExistsError):
            _write_new(target, content)
            return True
        return False
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return True


def rewrite(place: Path, generation: int, token: str, content: bytes) -> None:
    """Replace one's own file of ``generation``.

    Raises:
        OSError: the disk fails, or there is no such file.
    """
    target, temporary = _path(place, generation), place / f".{token}.tmp"
    try:
        _write_new(temporary, content)
        os.replace(temporary, target)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        # A full disk has no room for a second file, but for as many bytes in the first: whoever
        # fills it must not make a claim look dead.
        handle = os.open(target, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "wb") as file:
            file.write(content)


def remove(place: Path, top: Path, token: str) -> bool:
    """Remove ``place`` with all that is in it, and what is empty above it, ``top`` included.

    In one step for who looks on: whoever claims meanwhile finds no folder, and makes it anew. Only
    for the owner of the only claim there has been.

    Returns:
        False where there are claims of folders inside: it stays then.
    """
    aside = top / f".{token}.gone"
    if any(entry.is_dir() for entry in os.scandir(place)):
        return False
    os.rename(place, aside)
    shutil.rmtree(aside, ignore_errors=True)
    with contextlib.suppress(OSError):  # somebody else's is in it
        for folder in (*place.relative_to(top).parents[:-1], Path()):
            (top / folder).rmdir()
    return True


def tidy(place: Path, generation: int, token: str) -> None:
    """Remove what claims before ``generation`` left: temporary files, all but the last one's file.

    For the owner of ``generation`` only. Why nobody slow is fooled: the highest generation is never
    removed, so the highest only grows. Who listed n as highest long ago and creates n + 1 after it
    was removed here lists again after creating, sees n + 3 or more, and gives up
    (``claims._acquire``). Should the slow one be who tidies, and have lost the claim since, then a
    temporary file that he takes from another costs that one a second try or one beat.
    """
    with contextlib.suppress(OSError):
        for name in os.listdir(place):
            match = _NAME.fullmatch(name)
            old = match is not None and int(match[1]) <= generation - 2
            if old or (_TEMPORARY.fullmatch(name) and name != f".{token}.tmp"):
                (place / name).unlink(missing_ok=True)


def _path(place: Path, generation: int) -> Path:
    return place / f"{generation:08d}.json"


def _content(path: Path) -> bytes | None:
    """Return the first bytes of ``path``: None if there is none, empty if it is no plain file."""
    try:
        # Neither a link that leads elsewhere nor a pipe that never answers is followed.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            return b""
        raise
    try:
        return os.read(handle, MAX_BYTES) if stat.S_ISREG(os.fstat(handle).st_mode) else b""
    finally:
        os.close(handle)


def _write_new(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
    except BaseException as error:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            # "No space left" comes without a name; the message to the user needs one.
            error.filename = str(path)
        raise


def _parse(value: Any, generation: int, mark: str) -> Holder:
    """Return the claim that ``value`` states.

    Raises:
        ValueError, KeyError: it is not one.
    """
    if not isinstance(value, dict) or value["schema"] != SCHEMA:
        raise ValueError("another schema")
    process = Process(
        _text(value["host"]),
        None if value["boot_id"] is None else _text(value["boot_id"]),
        None if value["namespace"] is None else _number(value["namespace"]),
        _number(value["pid"], least=1, most=2**31 - 1),
        None if value["started"] is None else _number(value["started"]),
    )
    if value["state"] not in ("held", "released"):
        raise ValueError("another state")
    token, since = _text(value["token"]), _text(value["since"])
    released = value["state"] == "released"
    return Holder(generation, mark, token, process, _number(value["beat"]), since, released)


def _text(value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 255 or not value.isprintable():
        raise ValueError("not a short text")
    return value


def _number(value: object, least: int = 0, most: int = 2**63) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ValueError("not a number in range")
    return value
