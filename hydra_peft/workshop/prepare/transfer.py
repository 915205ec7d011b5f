"""One request for what is still missing of a file on the web.

A file grows in ``<name>.part``; ``<name>.part.json`` says which version of which file it is a part
of, so that a file that has changed on the server is started again instead of mixed.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tqdm import tqdm

from hydra_peft import __version__
from hydra_peft.errors import UserError
from hydra_peft.files import read_json, write_json

_CHUNK = 2**18
#: answers that may be another one a little later
_PASSING = (408, 425, 429, 500, 502, 503, 504)


class BrokenError(Exception):
    """Failure of a transfer that may pass; the message is a reason, to go into a sentence."""


class RefusedError(Exception):
    """Failure of a transfer that will not pass; the message is a reason, to go into a sentence."""


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

    def validator(self, url: str) -> str | None:
        """Return the ETag or date of the file at ``url`` that this is a part of; "" without one.

        None where it is a part of something else, or cannot be continued.
        """
        try:
            noted = read_json(self.note)
        except UserError:
            return None
        validator = noted.get("validator")
        known = isinstance(validator, str) and (validator or self.trust_any)
        return validator if known and noted.get("url") == url and self.size else None


def transfer(part: Part, url: str, size: int | None, *, timeout: float) -> None:
    """Ask for what is missing of ``part`` and append it; return when the file is complete.

    Args:
        size: published bytes of the whole file, if they are known.
        timeout: seconds without an answer that end the attempt.

    Raises:
        BrokenError: it broke off, or the server could not answer now; what came is kept.
        RefusedError: there is no such file, or another than was published.
        OSError: the disk is full.
    """
    if size is not None and part.size == size:
        part.joined = True
        return  # only the check or the renaming was missing
    headers = {"User-Agent": f"hydra_peft/{__version__}", "Accept-Encoding": "identity"}
    validator = part.validator(url)
    if validator is not None:
        headers |= {"Range": f"bytes={part.size}-"}
        headers |= {"If-Range": validator} if validator else {}
    request = urllib.request.Request(url, headers=headers)
    try:
        with _OPENER.open(request, timeout=timeout) as response:
            _receive(response, part, validator, url, size)
    except urllib.error.HTTPError as error:
        error.close()
        answer = f"it answers {error.code} {error.reason}".rstrip()
        if error.code == 416 and validator is not None:
            part.discard()
            raise BrokenError(answer) from None
        raise (BrokenError if error.code in _PASSING else RefusedError)(answer) from None
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


def _receive(
    response: http.client.HTTPResponse,
    part: Part,
    known: str | None,
    url: str,
    size: int | None,
) -> None:
    etag = response.headers.get("ETag", "")
    # A weak one does not promise equal bytes.
    strong = etag if etag and not etag.startswith("W/") else ""
    validator = strong or response.headers.get("Last-Modified", "")
    start = part.size if response.status == 206 else 0
    span = re.match(r"bytes (\d{1,18})-", response.headers.get("Content-Range", ""))
    if start and (span is None or int(span[1]) != start or known not in ("", validator)):
        part.discard()
        raise BrokenError("it continues another file than it began")
    if response.status not in (200, 206) or (response.status == 206 and not start):
        raise RefusedError(f"it answers {response.status} {response.reason}")
    total = size if response.length is None else start + response.length
    if size is not None and size != total:
        raise RefusedError(f"it offers {total:,} bytes where {size:,} were published")
    if response.headers.get_content_type() == "text/html" and not part.trust_any:
        raise RefusedError("it answers with a web page, as where a login or a question comes first")
    if not start:
        part.discard()  # before the note changes: it must never be about other bytes
        write_json(part.note, {"url": url, "validator": validator})
    part.joined = start > 0
    # disable=None: no bar where nobody watches
    bar = tqdm(
        total=total, initial=start, unit="B", unit_scale=True, desc=part.path.stem, disable=None
    )
    with part.path.open("ab") as file, bar:
        while block := response.read(_CHUNK):
            try:
                file.write(block)
                file.flush()
            except OSError as error:
                # "No space left" comes without a name; it tells the disk from the network.
                error.filename = error.filename or str(part.path)
                raise
            bar.update(len(block))
            if total is not None and file.tell() > total:
                part.discard()
                raise RefusedError(f"it sends more than the {total:,} bytes that the file has")
    if total is not None and part.size != total:
        raise BrokenError(f"it broke off after {part.size:,} of {total:,} bytes")


def _failure(error: Exception) -> BrokenError | RefusedError:
    cause = getattr(error, "reason", error)
    reason = re.sub(r"^\[\S+ [-\d]+\] ", "", " ".join(str(cause).split())) or type(cause).__name__
    # Without a network, or with a wrong certificate, another attempt ends alike.
    final = isinstance(cause, (socket.gaierror, ssl.SSLCertVerificationError))
    return RefusedError(reason) if final else BrokenError(reason)
