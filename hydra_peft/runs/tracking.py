"""The trackers of one run: each told what happens, and dropped when it fails."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from hydra_peft.errors import UserError
from hydra_peft.files import atomic_write, read_json
from hydra_peft.plain_text import in_one_line, shortened
from hydra_peft.runs.folder import TRACKERS
from hydra_peft.runs.record import Record
from hydra_peft.trackers import Session, Start, Tracker

log = logging.getLogger("hydra_peft")

_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
#: characters of an error in the log
_LONGEST = 300


class Tracking:
    """Sessions of a run's trackers.

    None of them can end the run: one that raises is logged once and told nothing more.

    Args:
        trackers: by name; none in a process that writes nothing.
    """

    def __init__(self, trackers: Mapping[str, Tracker] | None = None) -> None:
        self._waiting = dict(trackers or {})
        self._sessions: dict[str, Session] = {}

    def begin(self, start: Start) -> None:
        """Begin a session of each tracker, and note in the run's folder how to find it again."""
        known = ids_in(start.folder) if start.resumed else {}
        for name, tracker in self._waiting.items():
            try:
                its = dataclasses.replace(start, known=known.get(name))
                self._sessions[name] = tracker.begin(its)
            except Exception as error:
                _tell(name, error)
        self._waiting = {}
        ids = {name: one.id for name, one in self._sessions.items() if one.id is not None}
        with contextlib.suppress(OSError):  # the run itself will tell of the disk
            if known or ids:
                atomic_write(start.folder / TRACKERS, json.dumps({**known, **ids}).encode())
            else:
                (start.folder / TRACKERS).unlink(missing_ok=True)

    def values(self, values: Mapping[str, float], epoch: int) -> None:
        """Pass on values of ``epoch``; see :meth:`Session.values`."""
        self._each(lambda session: session.values(values, epoch))

    def end(self, record: Record, folder: Path) -> None:
        """Pass on the record as it is at the end; nothing is told after that."""
        self._each(lambda session: session.end(record))
        tell_of_end(self._waiting, record, folder)  # of a run that came to no training
        self._sessions, self._waiting = {}, {}

    def abandon(self) -> None:
        """Let go of the sessions that :meth:`end` was not called of."""
        self._each(lambda session: session.abandon())
        self._sessions = {}

    def _each(self, act: Callable[[Session], None]) -> None:
        for name, session in list(self._sessions.items()):
            try:
                act(session)
            except Exception as error:
                del self._sessions[name]
                _tell(name, error)
                with contextlib.suppress(Exception):
                    session.abandon()


def tell_of_end(trackers: Mapping[str, Tracker], record: Record, folder: Path) -> None:
    """Tell ``trackers``, which have no session, how the run in ``folder`` ended.

    The record stands, whatever becomes of it.
    """
    known = ids_in(folder)
    for name, tracker in trackers.items():
        try:
            tracker.ended(record, folder, known.get(name))
        except Exception as error:
            log.warning("logger=%s does not show how %s ended: %s", name, folder, _said(error))


def ids_in(folder: Path) -> dict[str, str]:
    """Return by tracker the ids that the run in ``folder`` has with them; empty without any."""
    with contextlib.suppress(UserError, OSError):
        found = read_json(folder / TRACKERS)
        return {k: v for k, v in found.items() if isinstance(v, str) and _ID.fullmatch(v)}
    return {}


def _tell(name: str, error: Exception) -> None:
    log.warning("logger=%s failed and shows no more of this run: %s", name, _said(error))


def _said(error: Exception) -> str:
    return shortened(f"{type(error).__name__}: {in_one_line(str(error))}".rstrip(": "), _LONGEST)
