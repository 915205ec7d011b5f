"""The Hugging Face hub: fetching an adapter from it, pushing files to it; what to do without it."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from hydra_peft.errors import UserError
from hydra_peft.files import named_path
from hydra_peft.optional import optional_package
from hydra_peft.plain_text import in_one_line, quoted, shortened

#: what a repository is told from a folder by: ``hf://user/name``, ``hf://user/name@revision``
SCHEME = "hf://"
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*/[A-Za-z0-9_][A-Za-z0-9_.-]*")
_REVISION = re.compile(r"[A-Za-z0-9_./-]+")
_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
#: characters of what the hub says that a message repeats
_LONGEST = 200


def local_folder(place: str | Path, files: Sequence[str], what: str) -> Path:
    """Return the folder that ``place`` names, of a repository the one its ``files`` are fetched to.

    Where there is no network, or ``HF_HUB_OFFLINE`` is set, the hub's local cache serves.

    Args:
        place: a folder; or ``hf://<user>/<name>``, behind it ``@`` and a branch, tag or commit.
        files: names of the files that are fetched; no others are.
        what: the folder in words, for messages.

    Raises:
        UserError: no such name can be, or the hub does not give the files.
    """
    if not str(place).startswith(SCHEME):
        return named_path(place, what)
    name, _, revision = str(place).removeprefix(SCHEME).partition("@")
    if not _NAME.fullmatch(name) or (revision and not _REVISION.fullmatch(revision)):
        raise UserError(
            f"{quoted(str(place))} names no repository: expected hf://<user>/<name>, or "
            "hf://<user>/<name>@<revision>."
        )
    hub = _package(f"{place} is fetched by the package huggingface_hub")
    try:
        with offline_without_network():
            found = hub.snapshot_download(name, revision=revision or None, allow_patterns=[*files])
    # No network, no such repository, no access: each comes as another kind of exception.
    except Exception as error:
        raise UserError(
            f"the hub did not give {place} ({_said(error)}), and its local cache has none: look "
            "whether the name is right, or `hf auth login` if it is private."
        ) from None
    folder = Path(found)
    if missing := [file for file in files if not (folder / file).is_file()]:
        raise UserError(f"{place} has no {missing[0]}: it holds no such adapter.")
    return folder


def check_can_push(repository: str) -> None:
    """Check, before anything is computed, that files can be pushed to ``repository``.

    Raises:
        UserError: it is no name of a repository, the package is missing, there is no network, or
            nobody is logged in.
    """
    if not _NAME.fullmatch(repository):
        raise UserError(
            f"{quoted(repository)} is no repository of the hub: expected <user>/<name>, as in "
            "to=hub output=me/my-model."
        )
    hub = _package("to=hub pushes with the package huggingface_hub")
    from huggingface_hub import constants  # no attribute until it is imported

    if constants.HF_HUB_OFFLINE or not _reachable(constants.ENDPOINT):
        raise UserError(
            f"nothing can be pushed to {repository} without a network (or with HF_HUB_OFFLINE=1): "
            "export into a folder, and `hf upload` it later."
        )
    if hub.get_token() is None:
        raise UserError(
            f"nothing can be pushed to {repository}: nobody is logged in to the hub. `hf auth "
            "login` asks for a token that may write, or set HF_TOKEN."
        )


def push(folder: Path, files: Sequence[str], repository: str, *, private: bool, title: str) -> str:
    """Push ``files`` of ``folder`` in one commit; the repository is made if there is none.

    Returns:
        The address of the commit.

    Raises:
        UserError: see :func:`check_can_push`; or the hub did not take them.
    """
    check_can_push(repository)
    hub = _package("to=hub pushes with the package huggingface_hub")
    api = hub.HfApi()
    added = [hub.CommitOperationAdd(name, folder / name) for name in files]
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        commit = api.create_commit(repository, added, commit_message=title)
    # No access, no room, a network that is gone: each comes as another kind of exception.
    except Exception as error:
        raise UserError(f"the hub did not take {repository} ({_said(error)}).") from None
    return str(commit.commit_url)


def _package(use: str) -> Any:
    return optional_package("huggingface_hub", extra="hub", use=use)


def _said(error: Exception) -> str:
    text = shortened(in_one_line(str(error)), _LONGEST)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@contextmanager
def offline_without_network() -> Iterator[None]:
    """Use the hub's local cache alone, inside the context, where there is no network.

    A missing file is known at once then, not after a minute of retries.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not _reachable(constants.ENDPOINT)
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _reachable(endpoint: str) -> bool:
    """Whether the host of ``endpoint`` has an address; behind a proxy only the proxy knows."""
    if any(os.environ.get(name) for name in _PROXIES):
        return True
    try:
        socket.getaddrinfo(urlparse(endpoint).hostname, 443)
    except OSError:
        return False
    return True
