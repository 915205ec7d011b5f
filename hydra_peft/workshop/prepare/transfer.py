"""One request for what is still missing of a file on the web.

A file grows in ``<name>.part``; ``<name>.part.json`` says which version of which file it is a part
of, so that a file that has changed on the server is started again instead of mixed.
"""

from __future__ import annotations

import dataclasses
import errno
import http.client
import json
import re
import shutil
import socket
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from tqdm import tqdm

from hydra_peft import __version__
from hydra_peft.errors import UserError
from hydra_peft.files import atomic_write, read_json

_CHUNK = 2**18
#: answers that may be another one a little later
_PASSING = (408, 425, 429, 500, 502, 503, 504)


class BrokenError(Exception):
    """Failure of a transfer that may pass; the message is a reason, to go into a sentence."""


class RefusedError(Exception):
    """Failure of a transfer that will not pass; the message is a reason, to go into a sentence."""


@dataclass(frozen=True)
class Version:
    """Version of the remote file that a part belongs to.

    Attributes:
        url: where the file is.
        validator: its ETag or date, None if the server gives neither.
        total: its bytes, None if the server does not say.
    """

    url: str
    validator: str | None
    total: int | None


class Part:
    """Part of a file downloaded so far.

    Args:
        path: the whole file's place; the part lies beside it.
        trust_any: whether a part without validator may be continued, because a checksum of the
            whole would notice a mixture.

    Attributes:
        joined: whether the part holds bytes of more than one request.
    """

    def __init__(self, path: Path, *, trust_any: bool) -> None:
        self.path = path.with_name(f"{path.name}.part")
        self.note = path.with_name(f"{path.name}.part.json")
        self.trust_any = trust_any
        self.joined = False

    @property
    def size(self) -> int:
        """Bytes that have come."""
        return self.path.stat().st_size if self.path.exists() else 0

    def discard(self) -> None:
        """Delete it."""
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)
        self.joined = False

    def version(self, url: str) -> Version | None:
        """Return the version that a part belongs to, None where it cannot be continued from
        ``url``."""
        if self.size == 0 or not self.note.exists():
            return None
        try:
            noted = Version(**read_json(self.note))
        except (UserError, TypeError):
            return None
        if not isinstance(noted.total, int | None) or not isinstance(noted.validator, str | None):
            return None
        known = noted.validator or self.trust_any
        fits = noted.total is None or self.size <= noted.total
        return noted if noted.url == url and known and fits else None

    def remember(self, version: Version) -> None:
        """Note what it is a part of."""
        atomic_write(self.note, json.dumps(dataclasses.asdict(version)).encode())


def transfer(part: Part, url: str, size: int | None, *, timeout: float) -> None:
    """Ask for what is missing of ``part`` and append it; return when the file is complete.

    Args:
        size: bytes of the whole file, None if unknown.
        timeout: seconds that the server may be silent.

    Raises:
        BrokenError: the server or the connection failed; what came is kept.
        RefusedError: the server does not have the file.
        OSError: of the disk, with a file name.
    """
    known = part.version(url)
    if known is not None and known.total == part.size:
        part.joined = True
        return  # only the check or the renaming was missing
    request = urllib.request.Request(url, headers=_headers(known, part.size))
    try:
        with _OPENER.open(request, timeout=timeout) as response:
            _receive(response, part, known, url, size)
    except urllib.error.HTTPError as error:
        with error:
            _refused(error, part, known)
    except (urllib.error.URLError, http.client.HTTPException) as error:
        raise _failure(error) from None
    except OSError as error:
        if error.filename is not None:
            raise  # of the disk: the network has no file names
        raise _failure(error) from None


class _WebOnly(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: Any) -> urllib.request.Request | None:
        if urlsplit(arguments[-1]).scheme not in ("http", "https"):
            raise RefusedError(f"it sends us on to {arguments[-1]}")
        return super().redirect_request(*arguments)


_OPENER = urllib.request.build_opener(_WebOnly)


def _headers(known: Version | None, have: int) -> dict[str, str]:
    headers = {"User-Agent": f"hydra_peft/{__version__}", "Accept-Encoding": "identity"}
    if known is not None:
        headers["Range"] = f"bytes={have}-"
        if known.validator:
            headers["If-Range"] = known.validator
    return headers


def _receive(
    response: http.client.HTTPResponse,
    part: Part,
    known: Version | None,
    url: str,
    size: int | None,
) -> None:
    validator = _validator(response.headers)
    total = size if response.length is None else response.length
    start = 0
    if response.status == 206:
        total = _continued(response, part, known, validator)
        start = part.size
    elif response.status != 200:
        raise RefusedError(f"it answers {response.status} {response.reason}")
    if size is not None and total is not None and size != total:
        raise RefusedError(f"it offers {total:,} bytes where {size:,} were published")
    if response.headers.get_content_type() == "text/html" and not part.trust_any:
        raise RefusedError("it answers with a web page, as where a login or a question comes first")
    _check_room(part, total, start)
    if not start:
        part.discard()  # before the note changes: it must never be about other bytes
    part.remember(Version(url, validator or (known.validator if start and known else None), total))
    part.joined = start > 0
    with part.path.open("ab" if start else "wb") as file, _bar(part, total, start) as bar:
        _copy(response, file, bar, part, limit=total)
    if total is not None and part.size != total:
        raise BrokenError(f"it broke off after {part.size:,} of {total:,} bytes")


def _continued(
    response: http.client.HTTPResponse, part: Part, known: Version | None, validator: str | None
) -> int | None:
    """Return the bytes of the whole file; forget the part if this is no continuation of it."""
    span = re.fullmatch(
        r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)",
        response.headers.get("Content-Range", ""),
    )
    total = int(span[2]) if span and span[2] != "*" else None
    same = (
        span is not None
        and known is not None
        and int(span[1]) == part.size
        and (total is None or known.total is None or total == known.total)
        and (validator is None or known.validator is None or validator == known.validator)
    )
    if not same:
        part.discard()
        raise BrokenError("it continues another file than it began")
    assert known is not None
    return known.total if total is None else total


def _copy(
    response: http.client.HTTPResponse,
    file: IO[bytes],
    bar: tqdm[Any],
    part: Part,
    limit: int | None,
) -> None:
    while block := response.read(_CHUNK):
        try:
            file.write(block)
            file.flush()
        except OSError as error:
            # "No space left" comes without a name; it tells the disk from the network.
            error.filename = error.filename or str(part.path)
            raise
        bar.update(len(block))
        if limit is not None and file.tell() > limit:
            part.discard()
            raise RefusedError(f"it sends more than the {limit:,} bytes that the file has")


def _refused(error: urllib.error.HTTPError, part: Part, known: Version | None) -> None:
    """Judge an answer that is no file; return only if the part turns out to be complete."""
    answer = f"it answers {error.code} {error.reason}".rstrip()
    if error.code == 416 and known is not None:
        if error.headers.get("Content-Range") == f"bytes */{part.size}":
            part.joined = True
            return
        part.discard()
        raise BrokenError(answer)
    raise (BrokenError if error.code in _PASSING else RefusedError)(answer)


def _failure(error: Exception) -> BrokenError | RefusedError:
    cause = getattr(error, "reason", error)
    reason = re.sub(r"^\[\S+ [-\d]+\] ", "", " ".join(str(cause).split())) or type(cause).__name__
    # Without a network, or with a wrong certificate, another attempt ends alike.
    final = isinstance(cause, (socket.gaierror, ssl.SSLCertVerificationError))
    return RefusedError(reason) if final else BrokenError(reason)


def _validator(headers: Message) -> str | None:
    etag = headers.get("ETag")
    # A weak one does not promise equal bytes.
    return etag if etag and not etag.startswith("W/") else headers.get("Last-Modified")


def _check_room(part: Part, total: int | None, start: int) -> None:
    free = shutil.disk_usage(part.path.parent).free
    if total is not None and total - start > free:
        wanted = f"{total - start:,} bytes needed, {free:,} free"
        raise OSError(errno.ENOSPC, wanted, str(part.path))


def _bar(part: Part, total: int | None, start: int) -> tqdm[Any]:
    # disable=None: no bar where nobody watches
    name = part.path.stem
    return tqdm(total=total, initial=start, unit="B", unit_scale=True, desc=name, disable=None)
