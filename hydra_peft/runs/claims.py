"""The right to do a run: one process at a time holds it, on whichever machine that shares the disk.

A claim is a file ``<runs>/.claims/<folder below runs>/<generation>.json``. Who creates the highest
generation owns the folder; a claim is never deleted by its owner, only marked as released, and the
next one is the next generation. The owner counts a heartbeat up in it. A claim is dead when its
process has ended (seen at once on the same machine) or when its heartbeat stood still for a while
by the observer's own monotonic clock; clocks of two machines are never compared.

A process that was stopped while another one took its claim over cannot be kept from going on: it
asks ``Held.check`` before it writes what counts.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import secrets
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from hydra_peft.disk_errors import check_writable
from hydra_peft.errors import UserError
from hydra_peft.runs import _claim_files as files
from hydra_peft.runs._claim_files import Holder as Holder
from hydra_peft.runs._machine import is_gone, this_process

FOLDER = ".claims"
#: between two heartbeats
BEAT_SECONDS = 5.0
#: how long a heartbeat stands still before its claim counts as dead
PATIENCE_SECONDS = 60.0
_ATTEMPTS = 20


class Claimed(UserError):  # noqa: N818
    """Somebody else is doing the run.

    Attributes:
        runs, folder: as for :func:`claim`.
        holder: who; None if that changed faster than it could be read.
    """

    def __init__(self, runs: Path, folder: Path, holder: Holder | None) -> None:
        self.runs, self.folder, self.holder = runs, folder, holder
        who = "another process" if holder is None else str(holder)
        super().__init__(
            f"{folder} is being done by {who}: wait for it, or stop that process (a claim without "
            f"a heartbeat is taken over after {PATIENCE_SECONDS:.0f} s)."
        )


class ClaimLost(RuntimeError):  # noqa: N818
    """The claim was taken over or removed: whoever held it must not write into the folder."""


class Held:
    """A claim that is held; made by :func:`claim`."""

    def __init__(self, folder: Path, top: Path, place: Path, generation: int, token: str) -> None:
        self.folder = folder
        self._top = top
        self._place = place
        self._generation = generation
        self._token = token
        self._process = this_process()
        self._since = _now()
        self._beat = 0
        self._lost: str | None = None
        self._withdrawn = False
        # Reentrant: a signal handler may check while its own thread does.
        self._lock = threading.RLock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def check(self) -> None:
        """Return if the claim is still one's own at this moment, by its files.

        A disk that cannot be read says nothing, and is left to what writes the results.

        Raises:
            ClaimLost: it was taken over, removed or released.
        """
        with self._lock:
            if self._lost is None:
                with contextlib.suppress(OSError):
                    self._lost = self._why_lost()
            if self._lost is not None:
                raise ClaimLost(self._lost)

    def withdraw(self) -> None:
        """Let the claim leave nothing behind when it ends, where it is the first on its folder.

        Later ones stay as released: the number of the highest is what slow claimants go by.
        """
        self._withdrawn = self._generation == 1

    def _why_lost(self) -> str | None:
        newest = files.latest(self._place)
        if newest is not None and newest.generation > self._generation:
            return f"{self.folder} was taken over by {newest}: nothing more is written there."
        # A generation of the same number but another token: all claims were removed, and made anew.
        if newest is None or newest.token != self._token:
            return (
                f"the claim of {self.folder} is no longer in {self._place}: nothing more is "
                "written there, since another process may be doing the same."
            )
        return None

    def _content(self, released: bool) -> bytes:
        return files.encode(self._token, self._process, self._beat, self._since, released)

    def _keep_beating(self, seconds: float) -> None:
        while not self._stop.wait(seconds):
            # A disk that fails now may work at the next beat; only who takes over ends a run.
            with self._lock, contextlib.suppress(OSError):
                self._lost = self._lost or self._why_lost()
                if self._lost is not None:
                    return
                self._beat += 1
                files.rewrite(self._place, self._generation, self._token, self._content(False))

    def _start(self, seconds: float) -> None:
        self._thread = threading.Thread(
            target=self._keep_beating, args=(seconds,), name="claim", daemon=True
        )
        self._thread.start()

    def _close(self) -> None:
        """Stop the heartbeat and give the claim back, if it is still held."""
        if os.getpid() != self._process.pid:
            return  # a forked child that runs out of the same block: the claim is its parent's
        self._stop.set()
        if self._thread is not None and self._thread.is_alive():
            self._thread.join()
        with self._lock, contextlib.suppress(OSError):
            # If that fails, the claim ends with the process, or as one without a heartbeat.
            if self._lost is None and self._why_lost() is None:
                if self._withdrawn and files.remove(self._place, self._top, self._token):
                    self._lost = f"the claim of {self.folder} was withdrawn."
                    return
                self._beat += 1
                files.rewrite(self._place, self._generation, self._token, self._content(True))
        self._lost = self._lost or f"the claim of {self.folder} was released."


@contextlib.contextmanager
def claim(
    runs: Path, folder: Path, *, dead: str | None = None, beat_seconds: float = BEAT_SECONDS
) -> Iterator[Held]:
    """Hold ``folder`` while the block runs.

    Args:
        runs: the folder of all runs, in which claims are kept.
        folder: what is claimed; it lies below ``runs`` and need not exist.
        dead: ``Watch.dead`` of a watch that judged the present claim dead; without it only a claim
            whose process is known to have ended is taken over.
        beat_seconds: time between heartbeats; far below the patience of those who watch.

    Raises:
        Claimed: somebody holds it, this process included.
        ValueError: ``folder`` is not below ``runs``.
        UserError: a link leads out of the folder of claims.
        OSError: ``runs`` cannot be made or written.
    """
    held = _acquire(runs, folder, dead)
    try:
        held._start(beat_seconds)
        yield held
    finally:
        held._close()


def check_claimable(runs: Path, folder: Path) -> None:
    """Check that claims of ``folder``, or of what is in it, can be made; none is made.

    Raises:
        UserError: a link leads out of the folder of claims, or it cannot be written to.
    """
    check_writable(_place(runs, folder))


def holder(runs: Path, folder: Path) -> Holder | None:
    """Return the holder of ``folder`` by its claim files; None if nobody holds it or it has ended.

    One look, for plans and tables: a holder on another machine may be dead; :class:`Watch` finds
    that out.

    Raises:
        ValueError, UserError: see :func:`claim`.
        OSError: the claim cannot be read.
    """
    newest = files.latest(_place(runs, folder))
    return newest if newest is not None and _may_live(newest) else None


class Watch:
    """Watches the claim of one folder for a heartbeat.

    ``is_dead`` is called again and again, at least every third of ``patience``: longer gaps count
    as that much, for in a long one the observer, the disk or both machines may have stood still,
    and then a living holder has had no time for a beat either.

    Args:
        runs, folder: as for :func:`claim`.
        patience: seconds without a beat after which a claim is dead.

    Attributes:
        dead: what :func:`claim` takes, once ``is_dead`` has said so; it stands for the claim and
            its last beat, so that a holder who beats again is not taken over.
    """

    def __init__(self, runs: Path, folder: Path, *, patience: float = PATIENCE_SECONDS) -> None:
        self.patience = patience
        self.dead: str | None = None
        self._place = _place(runs, folder)
        self._mark: str | None = None
        self._silence = 0.0
        self._unread = 0.0
        self._looked = time.monotonic()

    def is_dead(self) -> bool:
        """Return True if nobody alive holds the folder; False as long as that is not known.

        Raises:
            OSError: the claim could not be read for as long as ``patience``.
        """
        before = time.monotonic()
        self.dead = None
        try:
            newest = files.latest(self._place)
        except OSError:
            self._unread += min(before - self._looked, self.patience / 3)
            self._looked = time.monotonic()
            if self._unread < self.patience:
                return False
            raise
        self._unread = 0.0
        if newest is None or not _may_live(newest):
            return True
        if newest.mark == self._mark:
            self._silence += min(before - self._looked, self.patience / 3)
        else:
            self._mark, self._silence = newest.mark, 0.0
        self._looked = time.monotonic()
        if self._silence < self.patience:
            return False
        self.dead = newest.mark
        return True


def _acquire(runs: Path, folder: Path, dead: str | None) -> Held:
    place = _place(runs, folder)
    top = Path(os.path.abspath(runs), FOLDER)
    held = Held(folder, top, place, 0, secrets.token_hex(16))
    newest: Holder | None = None
    refused: OSError | None = None
    # A race that is lost to somebody who has released or died since is tried again.
    for _ in range(_ATTEMPTS):
        refused = None
        try:
            place.mkdir(parents=True, exist_ok=True)
        except (FileNotFoundError, FileExistsError) as error:
            refused = error  # removed right now, or a place where no folder can be made
        newest = files.latest(place)
        if newest is not None and _may_live(newest) and newest.mark != dead:
            raise Claimed(runs, folder, newest)
        held._generation = 1 if newest is None else newest.generation + 1
        try:
            made = files.create(place, held._generation, held._token, held._content(False))
        except FileNotFoundError as error:  # so are all claims
            refused = refused or error
            continue
        # Looked at again: see files.tidy. What was made too late stays below the highest.
        if made and held._why_lost() is None:
            files.tidy(place, held._generation, held._token)
            return held
    raise refused or Claimed(runs, folder, newest)


def _may_live(found: Holder) -> bool:
    return not found.released and (found.process is None or not is_gone(found.process))


def _place(runs: Path, folder: Path) -> Path:
    """Return the folder of claims on ``folder``, absolute since a process may change folders."""
    top, inner = os.path.abspath(runs), os.path.abspath(folder)
    if inner == top or not Path(inner).is_relative_to(top):
        raise ValueError(f"{folder} is not below {runs}")
    claims = Path(top, FOLDER)
    place = claims / Path(inner).relative_to(top)
    real = os.path.realpath(place)
    if not Path(real).is_relative_to(os.path.join(os.path.realpath(top), FOLDER)):
        raise UserError(f"{place} leads out of {claims} by a link: remove the link.")
    return place


def _now() -> str:
    moment = datetime.datetime.fromtimestamp(time.time(), datetime.timezone.utc)
    return moment.isoformat(timespec="seconds")
