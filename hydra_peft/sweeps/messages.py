"""Messages between a parent and its workers: lines of json of bounded length."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from hydra_peft.disk_errors import TakesNoMore
from hydra_peft.sweeps.job import ENDS, ElsewhereRun, Job, JobEnd

#: a job's config is some ten kilobytes
MAX_BYTES = 2**20


class MessageError(ValueError):
    """A line that is none of ours."""


@dataclass(frozen=True)
class Ready:
    """A worker has loaded what it needs."""


@dataclass(frozen=True)
class DiskError:
    """The disk takes nothing more: ``errno``, the file, and a sentence where the error has one."""

    errno: int
    filename: str | None
    sentence: str | None = None

    def as_error(self) -> OSError:
        """Return the error that the worker had."""
        error = OSError(self.errno, os.strerror(self.errno), self.filename)
        return TakesNoMore(error, self.sentence) if self.sentence else error


def encode_job(job: Job) -> bytes:
    """Return the line that hands ``job`` to a worker."""
    return _line({"overrides": list(job.overrides), "config": job.config})


def decode_job(line: bytes) -> Job:
    """Return the job of a line.

    Raises:
        MessageError: the line is not one of :func:`encode_job`.
    """
    values = _values(line)
    overrides, config = values.get("overrides"), values.get("config")
    if not isinstance(overrides, list) or not isinstance(config, str):
        raise MessageError(line[:100])
    return Job(tuple(map(str, overrides)), config)


def encode_ready() -> bytes:
    """Return the line that says that a worker has loaded what it needs."""
    return _line({"ready": True})


def encode_end(end: JobEnd) -> bytes:
    """Return the line that tells of ``end``; its job, which the parent knows, is left out."""
    return _line({"end": {key: value for key, value in asdict(end).items() if key != "job"}})


def encode_disk_error(error: OSError) -> bytes:
    """Return the line that says that no later job can do better."""
    name = None if error.filename is None else str(error.filename)
    sentence = error.sentence if isinstance(error, TakesNoMore) else None
    return _line({"disk": {"errno": error.errno, "filename": name, "sentence": sentence}})


def decode_answer(line: bytes, job: Job | None) -> Ready | JobEnd | DiskError:
    """Decode the answer of a worker that does ``job``.

    Raises:
        MessageError: the line is none of ours, or an end without a job.
    """
    values = _values(line)
    if values == {"ready": True}:
        return Ready()
    try:
        if set(values) == {"disk"}:
            disk = values["disk"]
            return DiskError(int(disk["errno"]), disk["filename"], disk["sentence"])
        if set(values) == {"end"} and job is not None and values["end"]["status"] in ENDS:
            fields = dict(values["end"])
            run = fields.pop("elsewhere")
            return JobEnd(job, **fields, elsewhere=ElsewhereRun(**run) if run else None)
    except (TypeError, KeyError, ValueError):
        pass
    raise MessageError(line[:100])


class Lines:
    """Puts the pieces that are read from a pipe together to lines."""

    def __init__(self) -> None:
        self._rest = b""

    def add(self, piece: bytes) -> Iterator[bytes]:
        """Give each line that ``piece`` completes.

        Raises:
            MessageError: a line is too long.
        """
        *lines, self._rest = (self._rest + piece).split(b"\n")
        if max(map(len, [*lines, self._rest])) > MAX_BYTES:
            raise MessageError("a line is too long")
        yield from lines


def _line(values: dict[str, Any]) -> bytes:
    return json.dumps(values).encode() + b"\n"


def _values(line: bytes) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):  # the latter: nested without end
        raise MessageError(line[:100]) from None
    if not isinstance(values, dict):
        raise MessageError(line[:100])
    return values
