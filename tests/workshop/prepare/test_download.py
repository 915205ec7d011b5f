"""Downloads from a local server that behaves well, and from one that does not."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import re
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from hydra_peft.errors import UserError
from hydra_peft.workshop.prepare import transfer
from hydra_peft.workshop.prepare.download import ATTEMPTS, backoff, download
from hydra_peft.workshop.prepare.originals._base import RemoteFile

CONTENT = random.Random(0).randbytes(3_000_001)  # the same in every process that collects tests
MD5 = hashlib.md5(CONTENT).hexdigest()
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HALF = 1_234_567

Answer = Callable[[BaseHTTPRequestHandler], None]


class Site:
    """A server that gives the answers it is told, one a request, the last one for ever."""

    def __init__(self) -> None:
        site = self
        self.answers: list[Answer] = []
        self.requests: list[dict[str, str]] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                site.requests.append({k.lower(): v for k, v in self.headers.items()})
                answer = site.answers.pop(0) if len(site.answers) > 1 else site.answers[0]
                self.close_connection = True
                with contextlib.suppress(ConnectionError):
                    answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/data/x.bin"

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Site()
    yield server
    server.close()


def answer(
    content: bytes = CONTENT,
    *,
    status: int = 200,
    send: int | None = None,
    length: int | None = -1,
    **headers: str,
) -> Answer:
    """Send ``content`` (``send`` bytes of it), stating ``length`` bytes; None states none."""

    def act(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        if length is not None:
            handler.send_header("Content-Length", str(len(content) if length == -1 else length))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(content[:send])

    return act


def ranged(content: bytes = CONTENT, *, send: int | None = None, **headers: str) -> Answer:
    """Answer Range and If-Range as RFC 9110 says."""

    def act(handler: BaseHTTPRequestHandler) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        condition = handler.headers.get("If-Range")
        changed = condition is not None and condition not in headers.values()
        if wanted is None or changed:
            answer(content, send=send, **headers)(handler)
            return
        start, whole = int(wanted[1]), len(content)
        if start >= whole:
            answer(b"", status=416, Content_Range=f"bytes */{whole}", **headers)(handler)
            return
        span = f"bytes {start}-{whole - 1}/{whole}"
        answer(content[start:], status=206, send=send, Content_Range=span, **headers)(handler)

    return act


class Fetch:
    """Fetches from a site into a folder without waiting; remembers what was said and waited."""

    def __init__(self, site: Site, folder: Path) -> None:
        self.site = site
        self.folder = folder
        self.path = folder / "x.bin"
        self.part = folder / "x.bin.part"
        self.note = folder / "x.bin.part.json"
        self.said: list[str] = []
        self.waited: list[int] = []

    def __call__(
        self,
        *answers: Answer,
        md5: str | None = MD5,
        size: int | None = None,
        sha256: str | None = None,
        timeout: float = 5,
    ) -> Path:
        self.site.answers = list(answers)
        self.site.requests.clear()
        self.waited.clear()

        def wait(failures: int) -> float:
            self.waited.append(failures)
            return 0

        remote = RemoteFile("x.bin", self.site.url, md5, size, sha256)
        return download(remote, self.folder, wait=wait, timeout=timeout, say=self.said.append)

    def fails(
        self,
        *answers: Answer,
        md5: str | None = MD5,
        size: int | None = None,
        sha256: str | None = None,
    ) -> str:
        """Fetch in vain; return the sentence."""
        with pytest.raises(UserError) as caught:
            self(*answers, md5=md5, size=size, sha256=sha256)
        message = str(caught.value)
        assert not self.path.exists()
        assert message.startswith(f"cannot fetch {self.site.url}: ")
        assert message.endswith(f"; download it by hand into {self.folder} as x.bin.")
        assert "\n" not in message
        return message

    def ranges(self) -> list[str | None]:
        return [request.get("range") for request in self.site.requests]


@pytest.fixture
def fetch(site: Site, tmp_path: Path) -> Fetch:
    return Fetch(site, tmp_path / "source")


def assert_fetched(fetch: Fetch) -> None:
    assert fetch.path.read_bytes() == CONTENT
    assert os.listdir(fetch.folder) == ["x.bin"]


def test_whole(fetch: Fetch) -> None:
    assert fetch(answer(), size=len(CONTENT)) == fetch.path
    assert_fetched(fetch)
    assert fetch.said == [f"{fetch.path}: fetched, md5 {MD5} as published"]
    assert fetch.site.requests[0]["accept-encoding"] == "identity"
    assert fetch.site.requests[0]["user-agent"].startswith("hydra_peft/")


@pytest.mark.parametrize(
    ("checksums", "said"),
    [
        ({"md5": None}, f"no published checksum; sha256 {SHA256}"),
        ({"sha256": SHA256}, f"md5 {MD5} and sha256 {SHA256} as published"),
    ],
)
def test_checksums_are_said(fetch: Fetch, checksums: dict[str, Any], said: str) -> None:
    fetch(answer(), **checksums)
    assert_fetched(fetch)
    assert fetch.said == [f"{fetch.path}: fetched, {said}"]


def test_sha256_alone(fetch: Fetch) -> None:
    fetch(answer(), md5=None, sha256=SHA256.upper())
    assert_fetched(fetch)
    assert fetch.said == [f"{fetch.path}: fetched, sha256 {SHA256} as published"]
    fetch(answer(status=500), md5=None, sha256=SHA256)
    assert fetch.site.requests == []
    assert fetch.said[1:] == [f"{fetch.path}: there already, sha256 {SHA256} as published"]


@pytest.mark.parametrize("md5", [None, MD5])
def test_wrong_sha256(fetch: Fetch, md5: str | None) -> None:
    wanted = hashlib.sha256(b"another file").hexdigest()
    message = fetch.fails(answer(), md5=md5, sha256=wanted)
    assert f"what came has sha256 {SHA256} where {wanted} was published and was deleted" in message
    assert os.listdir(fetch.folder) == []


def test_existing_with_another_sha256(fetch: Fetch) -> None:
    fetch.folder.mkdir()
    content = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    fetch.path.write_bytes(content)
    with pytest.raises(UserError, match=f" where {SHA256} was published: delete it to fetch it"):
        fetch(answer(), md5=None, sha256=SHA256)
    assert fetch.path.read_bytes() == content


def test_without_length(fetch: Fetch) -> None:
    fetch(answer(length=None))
    assert_fetched(fetch)


def test_existing_is_not_fetched_again(fetch: Fetch) -> None:
    fetch.folder.mkdir()
    fetch.path.write_bytes(CONTENT)
    fetch(answer(status=500), md5=MD5.upper(), size=len(CONTENT))
    assert fetch.site.requests == []
    assert "there already, md5" in fetch.said[0]


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "is empty"),
        (CONTENT[:-1], "3,000,000 bytes where 3,000,001 were published"),
        (CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]), f"where {MD5} was published"),
    ],
)
def test_existing_but_another(fetch: Fetch, content: bytes, word: str) -> None:
    fetch.folder.mkdir()
    fetch.path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        fetch(answer(), size=len(CONTENT))
    assert word in str(caught.value)
    assert f"delete it to fetch it again from {fetch.site.url}" in str(caught.value)
    assert fetch.path.read_bytes() == content


@pytest.mark.parametrize("headers", [{"ETag": '"v1"'}, {"Last_Modified": "Mon, 1 Jan 2024"}, {}])
def test_continues_after_breaking_off(fetch: Fetch, headers: dict[str, str]) -> None:
    fetch(ranged(send=HALF, **headers), ranged(send=100, **headers), ranged(**headers))
    assert_fetched(fetch)
    assert fetch.ranges() == [None, f"bytes={HALF}-", f"bytes={HALF + 100}-"]
    conditions = [request.get("if-range") for request in fetch.site.requests]
    assert conditions == [None, *list(headers.values()) * 2, *[None] * (2 - 2 * len(headers))]
    # the first brought more than a MiB: its failure is the first in a row, and so is the next
    assert fetch.waited == [1, 2]


def test_without_validator_and_checksum_it_starts_again(fetch: Fetch) -> None:
    fetch(ranged(send=HALF), ranged(), md5=None)
    assert_fetched(fetch)
    assert fetch.ranges() == [None, None]


def test_a_mixture_that_only_the_sha256_tells(fetch: Fetch) -> None:
    fetch(ranged(os.urandom(len(CONTENT)), send=HALF), ranged(), md5=None, sha256=SHA256)
    assert fetch.ranges() == [None, f"bytes={HALF}-", None]
    assert_fetched(fetch)


def test_weak_etag_is_no_validator(fetch: Fetch) -> None:
    headers = {"ETag": 'W/"v1"', "Last_Modified": "Mon, 1 Jan 2024"}
    fetch(ranged(send=HALF, **headers), ranged(**headers))
    assert fetch.site.requests[1]["if-range"] == "Mon, 1 Jan 2024"
    assert_fetched(fetch)


def test_a_later_call_continues(fetch: Fetch) -> None:
    message = fetch.fails(ranged(send=HALF, ETag='"v1"'), answer(status=503))
    assert "answers 503 Service Unavailable, 6 times in a row" in message
    assert "(x.bin.part is kept and continued next time)" in message
    assert fetch.part.read_bytes() == CONTENT[:HALF]
    fetch(ranged(ETag='"v1"'))
    assert fetch.ranges() == [f"bytes={HALF}-"]
    assert_fetched(fetch)


def test_a_changed_file_starts_again(fetch: Fetch) -> None:
    old = os.urandom(len(CONTENT))
    for md5 in (None, MD5):
        fetch.fails(ranged(old, send=HALF, ETag='"old"'), answer(status=503), md5=md5)
        fetch(ranged(ETag='"new"'), md5=md5)
        assert_fetched(fetch)
        fetch.path.unlink()


def test_a_changed_file_whose_server_ignores_if_range(fetch: Fetch) -> None:
    old = os.urandom(len(CONTENT))

    def careless(handler: BaseHTTPRequestHandler) -> None:
        del handler.headers["If-Range"]
        ranged(ETag='"new"')(handler)

    fetch(ranged(old, send=HALF, ETag='"old"'), careless, md5=None)
    assert fetch.ranges() == [None, f"bytes={HALF}-", None]
    assert_fetched(fetch)


def test_another_url_starts_again(fetch: Fetch) -> None:
    fetch.fails(ranged(send=HALF, ETag='"v1"'), answer(status=503))
    fetch.site.url += "?mirror"
    fetch(ranged(ETag='"v1"'))
    assert fetch.ranges() == [None]
    assert_fetched(fetch)


BAD_NOTES = [
    *("{", "[]", '{"url": 1}', '{"x": 1}', None),
    '{"url": "URL", "validator": 1}',
]


@pytest.mark.parametrize("note", BAD_NOTES)
def test_a_note_that_is_none(fetch: Fetch, note: str | None) -> None:
    fetch.folder.mkdir()
    fetch.part.write_bytes(b"from elsewhere")
    if note is not None:
        fetch.note.write_text(note.replace("URL", fetch.site.url))
    fetch(ranged(ETag='"v1"'))
    assert fetch.ranges() == [None]
    assert_fetched(fetch)


def test_a_complete_part_of_unknown_length_gets_416(fetch: Fetch) -> None:
    fetch.folder.mkdir()
    fetch.part.write_bytes(CONTENT)
    fetch.note.write_text(json.dumps({"url": fetch.site.url, "validator": '"v1"'}))
    fetch(ranged(ETag='"v1"'))
    assert fetch.ranges() == [f"bytes={len(CONTENT)}-", None]
    assert_fetched(fetch)
    fetch.path.rename(fetch.part)
    fetch(answer(status=500), size=len(CONTENT))  # of known length it only lacks its name
    assert fetch.site.requests == []
    assert_fetched(fetch)


def test_416_for_a_part_that_does_not_fit(fetch: Fetch) -> None:
    gone = answer(b"", status=416, Content_Range="bytes */10")
    fetch(ranged(send=HALF, ETag='"v1"'), gone, ranged(ETag='"v2"'))
    assert fetch.ranges() == [None, f"bytes={HALF}-", None]
    assert_fetched(fetch)
    fetch.path.unlink()
    assert "answers 416" in fetch.fails(answer(b"", status=416))
    assert fetch.waited == []


def test_range_ignored(fetch: Fetch) -> None:
    fetch(answer(send=HALF, ETag='"v1"'), answer(ETag='"v1"'))
    assert fetch.ranges() == [None, f"bytes={HALF}-"]
    assert_fetched(fetch)


@pytest.mark.parametrize(
    "span", ["bytes 0-3000000/3000001", f"bytes {HALF}-9/10", "bytes", "lines 1-2/3", ""]
)
def test_a_continuation_of_something_else(fetch: Fetch, span: str) -> None:
    wrong = answer(CONTENT[HALF:], status=206, Content_Range=span)
    fetch(ranged(send=HALF, ETag='"v1"'), wrong, ranged(ETag='"v1"'))
    assert fetch.ranges() == [None, f"bytes={HALF}-", None]
    assert_fetched(fetch)


def test_a_server_that_always_breaks_off_at_one_place(fetch: Fetch) -> None:
    message = fetch.fails(answer(send=HALF))
    assert f"broke off after {HALF:,} of 3,000,001 bytes, 6 times in a row" in message
    assert len(fetch.site.requests) == ATTEMPTS
    assert fetch.waited == [1, 2, 3, 4, 5]


def test_a_long_download_may_break_often(fetch: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hydra_peft.workshop.prepare.download._PROGRESS", 100_000)
    fetch(ranged(send=300_000, ETag='"v1"'))
    assert len(fetch.site.requests) > ATTEMPTS
    assert set(fetch.waited) == {1}
    assert_fetched(fetch)


def test_length_other_than_published(fetch: Fetch) -> None:
    message = fetch.fails(answer(), size=5)
    assert "offers 3,000,001 bytes where 5 were published" in message
    assert not fetch.part.exists()
    assert "sends more than the 5 bytes" in fetch.fails(answer(length=None), size=5)
    assert not fetch.part.exists()


def test_no_length_and_too_short_is_continued(fetch: Fetch) -> None:
    fetch(answer(send=HALF, length=None, ETag='"v1"'), ranged(ETag='"v1"'), size=len(CONTENT))
    assert fetch.ranges() == [None, f"bytes={HALF}-"]
    assert_fetched(fetch)


def test_wrong_file_is_deleted(fetch: Fetch) -> None:
    wrong = os.urandom(1000)
    message = fetch.fails(answer(wrong))
    assert f"what came has md5 {hashlib.md5(wrong).hexdigest()} where {MD5} was" in message
    assert "was deleted" in message
    assert os.listdir(fetch.folder) == []
    assert len(fetch.site.requests) == 1


def test_empty_file(fetch: Fetch) -> None:
    assert "what came is empty" in fetch.fails(answer(b""), md5=None)
    assert os.listdir(fetch.folder) == []


def test_web_page(fetch: Fetch) -> None:
    page = answer(b"<html>log in</html>", Content_Type="text/html; charset=utf-8")
    assert "web page" in fetch.fails(page, md5=None)
    assert "md5" in fetch.fails(page)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_final_answers_are_not_repeated(fetch: Fetch, status: int) -> None:
    assert f"it answers {status} " in fetch.fails(answer(b"gone", status=status))
    assert len(fetch.site.requests) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_passing_answers_are_repeated(fetch: Fetch, status: int) -> None:
    fetch(answer(b"later", status=status), answer(b"later", status=status), answer())
    assert fetch.waited == [1, 2]
    assert_fetched(fetch)
    fetch.path.unlink()
    message = fetch.fails(answer(b"never", status=status))
    assert f"answers {status}" in message
    assert "6 times in a row" in message
    assert "kept" not in message


def test_a_server_that_says_nothing(fetch: Fetch) -> None:
    stop = threading.Event()
    fetch(lambda _: stop.wait(5) and None, answer(), timeout=0.1)
    stop.set()
    assert fetch.waited == [1]
    assert_fetched(fetch)


def test_a_server_that_hangs_up_or_talks_nonsense(fetch: Fetch) -> None:
    def nonsense(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"nonsense\r\n\r\n")

    def broken_chunk(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"ff\r\nonly this")

    fetch(lambda _: None, nonsense, broken_chunk, answer())
    assert fetch.waited == [1, 2, 3]
    assert_fetched(fetch)


def test_redirects(fetch: Fetch) -> None:
    fetch(answer(b"", status=302, Location="/elsewhere"), answer())
    assert_fetched(fetch)
    fetch.path.unlink()
    message = fetch.fails(answer(b"", status=302, Location="ftp://127.0.0.1/x"))
    assert "sends us on to ftp://127.0.0.1/x" in message
    message = fetch.fails(answer(b"", status=302, Location="file:///etc/passwd"))
    assert "'file:///etc/passwd' is not allowed" in message


def test_no_server_there(fetch: Fetch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        fetch.site.url = f"http://127.0.0.1:{free.getsockname()[1]}/x"
        message = fetch.fails(answer())
    assert "Connection refused, 6 times in a row" in message


def test_no_network_is_not_tried_again(fetch: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    assert "Name or service not known" in fetch.fails(answer())
    assert fetch.waited == []


@pytest.mark.parametrize(
    ("url", "word"),
    [
        ("ftp://127.0.0.1/x", "only http and https"),
        ("file:///etc/passwd", "only http and https"),
        ("https://drive.google.com/file/d/1/view", "asks questions"),
    ],
)
def test_urls_that_are_not_fetched(fetch: Fetch, url: str, word: str) -> None:
    fetch.site.url = url
    assert word in fetch.fails(answer())
    assert not fetch.folder.exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_full_disk_while_writing(fetch: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_full(*_: object) -> object:
        return open("/dev/full", "wb")

    monkeypatch.setattr(Path, "open", open_full)
    with pytest.raises(OSError, match="No space left") as caught:
        fetch(answer())
    assert caught.value.filename == str(fetch.part)
    assert fetch.waited == []


def test_backoff_doubles_up_to_a_minute() -> None:
    assert [backoff(n) for n in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]


def test_interrupted_and_continued(fetch: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(contextlib.AbstractContextManager[Any]):
        def __init__(self, **_: object) -> None: ...

        def __exit__(self, *_: object) -> None: ...

        def update(self, _: int) -> None:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(transfer, "tqdm", Interrupted)
        for etag in ('"v1"', '"v2"'):  # of the first version nothing stays
            with pytest.raises(KeyboardInterrupt):
                fetch(ranged(ETag=etag), md5=None)
    came = fetch.part.stat().st_size
    fetch(ranged(ETag='"v2"'), md5=None)
    assert fetch.ranges() == [f"bytes={came}-"]
    assert_fetched(fetch)
