"""User errors: the exception that carries one sentence for the user."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from hydra_peft.plain_text import quoted, shortened

#: letters that a part of a name has at least, to be taken for one
_PART = 3
#: how much of two names has to be spelt alike, of 1
_ALIKE = 0.65
#: entries that a question names
_NAMED = 3


class UserError(ValueError):
    """A mistake the user can mend: the message names the value, what was expected, what to do.

    Entry points print it without a traceback and exit with 2.
    """


class WaitsForRun(UserError):  # noqa: N818 - read as a sentence
    """A run cannot be done before another one, which may be a job of the same sweep.

    Attributes:
        task: benchmark and name of that run's task.
        config: the run, typed, without its start.
    """

    def __init__(self, message: str, task: str, config: Any) -> None:
        super().__init__(message)
        self.task, self.config = task, config


class RunFailed(UserError):  # noqa: N818 - read as a sentence
    """A run that had begun did not complete, for a reason that is no bug.

    Entry points print it without a traceback and exit with 1.
    """


@contextmanager
def placed(beginning: str) -> Iterator[None]:
    """Put ``beginning``, if any, before the sentence of a mistake: its file, key or layer, and a
    colon."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{beginning} {error}".lstrip()) from None


@contextmanager
def in_full(options: Iterable[str], group: str) -> Iterator[None]:
    """Write ``option=`` in the sentence of a mistake as ``group.option=``, as a user types it, and
    ``option`` where it begins with that.

    A method, a head or the like does not know under which group its options stand.
    """
    try:
        yield
    except UserError as error:
        option = rf"({'|'.join(map(re.escape, options)) or '(?!)'})"
        short = rf"(?<![\w.]){option}(?==)|^{option}(?=: | ')"
        said = re.sub(short, lambda found: f"{group}.{found[0]}", str(error))
        raise UserError(said) from None


def reason_of(error: BaseException, limit: int = 200) -> str:
    """Return the beginning of what a library's ``error`` says, or its kind, to go on after: in one
    line, without the stop at its end."""
    said = (str(error).strip() or type(error).__name__).splitlines()[0]
    return shortened(said, limit).rstrip(".:; ")


def near(name: str, known: Iterable[str], limit: int = 3) -> list[str]:
    """Return up to ``limit`` entries of ``known`` that ``name`` may stand for, nearest first.

    Those called so in another folder, or that begin with it, or that have its words; else those
    that are spelt like it. Capitals, and marks between words, are the same.
    """
    entries = list(known)
    return _meant(name, entries)[:limit] or _spelt_like(name, entries, limit)


def did_you_mean(name: str, known: Iterable[str], offered: Mapping[str, str] | None = None) -> str:
    """Return ``" (did you mean 'x'?)"``, or nothing where no entry of ``known`` is near; several
    are named if ``name`` is a part of each.

    ``offered`` is what entries are named as: those of one thing are named once.
    """
    entries, names = list(known), offered or {}
    close = _meant(name, entries) or _spelt_like(name, entries, 1)
    forms = list(dict.fromkeys(names.get(entry, entry) for entry in close))
    form = "' or '".join(forms[:_NAMED])
    return f" (did you mean '{form}'?)" if close else ""


def _meant(name: str, known: list[str]) -> list[str]:
    """Return the entries of ``known`` that ``name`` is a part or the folder of, shortest first; of
    those in its own folder, and others, only the former."""
    words, split = _words(name), {entry: _words(entry) for entry in known}
    same = [entry for entry in split if split[entry] == words]
    begun = [entry for entry in split if "".join(split[entry]).startswith("".join(words))]
    parts = [entry for entry in split if set(words) <= set(split[entry])]
    singular = [entry for entry in split if "".join(split[entry]) == "".join(words).rstrip("s")]
    inside = [entry for entry in split if entry.lower().startswith(f"{name.lower()}/")]
    found = same or inside or singular or (begun or parts if len("".join(words)) >= _PART else [])
    folder = f"{name.lower().rpartition('/')[0]}/"
    there = [entry for entry in found if entry.lower().startswith(folder)]
    return sorted(there or found, key=len)


def _spelt_like(name: str, known: list[str], limit: int) -> list[str]:
    spelt = {one.lower().rpartition("/")[2]: one for one in reversed(known)}
    spelt |= {one.lower(): one for one in known}
    close = difflib.get_close_matches(name.lower(), spelt, limit, _ALIKE)
    return list(dict.fromkeys(spelt[one] for one in close))


def _words(name: str) -> list[str]:
    return re.split(r"[\W_]+", name.lower().rpartition("/")[2])


def check_one_of(
    what: str, name: object, known: Iterable[str], advice: str = "choose one of"
) -> None:
    """Check that ``name`` is in ``known``; the message offers near names, then all of them."""
    names = list(known)
    if name not in names:
        near = did_you_mean(str(name), names)
        raise UserError(f"{what} {quoted(name)} is unknown{near}: {advice} {', '.join(names)}.")
