"""A small server that speaks the part of the Hugging Face hub's API by which models are pushed
and fetched: repositories in memory, every file in its commit."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlparse


class Hub:
    """What the server holds.

    Attributes:
        commits: of each repository, its files by name, one mapping a commit.
        private: the repositories that were made private.
        token: what a client has to show; others are refused.
        refuses: whether it says that the disk quota is used up when files come.
    """

    def __init__(self) -> None:
        self.commits: dict[str, list[dict[str, bytes]]] = {}
        self.private: set[str] = set()
        self.token = "hf_right"
        self.refuses = False
        self.address = ""


def sha_of(repository: str, number: int) -> str:
    return hashlib.sha1(f"{repository} {number}".encode()).hexdigest()


@contextmanager
def serving() -> Iterator[Hub]:
    """Give a hub that is served on this machine, and its address."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_: object) -> None:
        """Print nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlparse(self.path).path)
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?", path):
            repository, what, revision = found.groups()
            number = self._number(repository, revision or "main")
            if number is None:
                self._missing("RevisionNotFound" if repository in self.hub.commits else None)
                return
            files = self.hub.commits[repository][number]
            if what == "tree":
                listed = [
                    {"type": "file", "path": k, "size": len(v), "oid": hashlib.sha1(v).hexdigest()}
                    for k, v in files.items()
                ]
                self._answer(200, listed)
            else:
                siblings = [{"rfilename": name} for name in files]
                sha = sha_of(repository, number)
                self._answer(200, {"id": repository, "sha": sha, "siblings": siblings, "tags": []})
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            repository, revision, name = found.groups()
            number = self._number(repository, revision)
            files = {} if number is None else self.hub.commits[repository][number]
            if name not in files:
                self._missing("EntryNotFound" if files else None)
                return
            content = files[name]
            headers = {
                "ETag": f'"{hashlib.sha1(content).hexdigest()}"',
                "X-Repo-Commit": sha_of(repository, number or 0),
                "Accept-Ranges": "bytes",
            }
            self._send(200, content, "application/octet-stream", headers)
        else:
            self._missing(None)

    def do_POST(self) -> None:
        path = unquote(urlparse(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if path == "/api/validate-yaml":
            self._answer(200, {"warnings": [], "errors": []})
        elif self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            self._answer(401, {"error": "Invalid credentials in Authorization header"})
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/preupload/main", path):
            files = [
                {"path": one["path"], "uploadMode": "regular", "shouldIgnore": False}
                for one in json.loads(body)["files"]
            ]
            self._answer(200, {"files": files})
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/commit/main", path):
            self._commit(found[1], [json.loads(line) for line in body.splitlines()])
        else:
            self._missing(None)

    def _create(self, asked: dict[str, Any]) -> None:
        repository = f"{asked['organization']}/{asked['name']}"
        url = f"{self.hub.address}/{repository}"
        if repository in self.hub.commits:
            self._answer(409, {"error": "You already created this model repo", "url": url})
            return
        self.hub.commits[repository] = [{}]
        if asked.get("private") or asked.get("visibility") == "private":
            self.hub.private.add(repository)
        self._answer(200, {"url": url, "name": repository})

    def _commit(self, repository: str, lines: list[dict[str, Any]]) -> None:
        if self.hub.refuses:
            self._answer(403, {"error": "Storage quota exceeded"})
            return
        files = dict(self.hub.commits[repository][-1])
        for line in lines:
            if line["key"] == "file":
                value = line["value"]
                assert value["encoding"] == "base64"
                files[value["path"]] = base64.b64decode(value["content"])
        self.hub.commits[repository].append(files)
        sha = sha_of(repository, len(self.hub.commits[repository]) - 1)
        url = f"{self.hub.address}/{repository}/commit/{sha}"
        self._answer(200, {"commitUrl": url, "commitOid": sha, "pullRequestUrl": None})

    def _number(self, repository: str, revision: str) -> int | None:
        commits = self.hub.commits.get(repository, [])
        if revision == "main":
            return len(commits) - 1 if commits else None
        shas = [sha_of(repository, number) for number in range(len(commits))]
        return shas.index(revision) if revision in shas else None

    def _missing(self, code: str | None) -> None:
        self._answer(404, {"error": "not found"}, {"X-Error-Code": code or "RepoNotFound"})

    def _answer(self, status: int, value: object, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(value).encode(), "application/json", headers or {})

    def _send(self, status: int, content: bytes, kind: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
