"""One file from the web: resumed, checked against what its publisher states, whole or not there."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import urlsplit

from tqdm import tqdm

from hydra_peft.errors import UserError
from hydra_peft.workshop.prepare.originals._base import RemoteFile
from hydra_peft.workshop.prepare.transfer import BrokenError, Part, RefusedError, transfer

#: failures in a row, without ``_PROGRESS`` new bytes between them, that end a download
ATTEMPTS = 6

_PROGRESS = 2**20
#: hosts that hand large files to browsers only, after a question
_BROWSERS_ONLY = ("drive.google.com", "docs.google.com")


def backoff(failures: int) -> float:
    """Return the seconds to wait after so many failures in a row: 1, 2, 4, ... up to 60."""
    return min(60.0, 2.0 ** (failures - 1))


def download(
    remote: RemoteFile,
    folder: Path,
    *,
    wait: Callable[[int], float] = backoff,
    timeout: float = 60.0,
    say: Callable[[str], object] = tqdm.write,
) -> Path:
    """Fetch ``remote`` into ``folder``, unless it is there already; return its path.

    A download that broke off is continued, by this call or a later one. Size, md5 and sha256 are
    checked, whichever are known.

    Args:
        remote: what, and where from.
        folder: made if it does not exist.
        wait: seconds to wait, from the number of failures in a row.
        timeout: seconds that the server may be silent.
        say: takes one line about the result.

    Raises:
        UserError: the server does not give the file, or gives another one than was published (it
            is deleted); a file of that name is there already and is another one (it is kept).
        OSError: the disk is full or the folder not writable; what has come is kept.
    """
    path = folder / remote.name
    if path.exists():
        wrong = _difference(path, remote)
        if wrong:
            raise UserError(f"{path} {wrong}: delete it to fetch it again from {remote.url}.")
        say(f"{path}: there already, {_checked(path, remote)}")
        return path
    address = urlsplit(remote.url)
    if address.scheme not in ("http", "https"):
        raise UserError(_by_hand(remote, folder, "only http and https are fetched here"))
    if address.hostname in _BROWSERS_ONLY:
        raise UserError(_by_hand(remote, folder, "that site asks questions of a browser first"))
    folder.mkdir(parents=True, exist_ok=True)
    part = Part(path, trust_any=bool(remote.checksums))
    _complete(part, remote, folder, wait, timeout)
    wrong = _difference(part.path, remote)
    if wrong and part.joined:
        # The pieces may be of two versions: once more, from the start.
        part.discard()
        _complete(part, remote, folder, wait, timeout)
        wrong = _difference(part.path, remote)
    if wrong:
        part.discard()
        raise UserError(_by_hand(remote, folder, f"what came {wrong} and was deleted"))
    with part.path.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(part.path, path)
    part.note.unlink(missing_ok=True)
    say(f"{path}: fetched, {_checked(path, remote)}")
    return path


def _complete(
    part: Part,
    remote: RemoteFile,
    folder: Path,
    wait: Callable[[int], float],
    timeout: float,
) -> None:
    failures, farthest = 0, part.size
    while True:
        try:
            return transfer(part, remote.url, remote.size, timeout=timeout)
        except RefusedError as error:
            raise UserError(_by_hand(remote, folder, str(error))) from None
        except BrokenError as error:
            # A long download may break often, but each time it must have come farther than ever.
            if part.size >= farthest + _PROGRESS:
                failures, farthest = 0, part.size
            failures += 1
            if failures == ATTEMPTS:
                reason = f"{error}, {ATTEMPTS} times in a row"
                if part.size:
                    reason += f" ({part.path.name} is kept and continued next time)"
                raise UserError(_by_hand(remote, folder, reason)) from None
            time.sleep(wait(failures))


def _difference(path: Path, remote: RemoteFile) -> str | None:
    """Describe how a file differs from what was published, None if it does not."""
    size = path.stat().st_size
    if size == 0:
        return "is empty"
    if remote.size is not None and size != remote.size:
        return f"has {size:,} bytes where {remote.size:,} were published"
    found = _digests(path, remote.checksums)
    for name, published in remote.checksums.items():
        if found[name] != published:
            return f"has {name} {found[name]} where {published} was published"
    return None


def _checked(path: Path, remote: RemoteFile) -> str:
    if remote.checksums:
        stated = " and ".join(f"{name} {digits}" for name, digits in remote.checksums.items())
        return f"{stated} as published"
    return f"no published checksum; sha256 {_digests(path, ['sha256'])['sha256']}"


def _digests(path: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the hashes of a file by the names of their algorithms; it is read once, if at all."""
    states = {name: hashlib.new(name, usedforsecurity=False) for name in names}
    if states:
        with path.open("rb") as file:
            while block := file.read(2**20):
                for state in states.values():
                    state.update(block)
    return {name: state.hexdigest() for name, state in states.items()}


def _by_hand(remote: RemoteFile, folder: Path, reason: str) -> str:
    return (
        f"cannot fetch {remote.url}: {reason}; download it by hand into {folder} as {remote.name}."
    )
