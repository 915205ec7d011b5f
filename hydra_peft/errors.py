"""User errors: the exception that carries one sentence for the user."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from hydra_peft.plain_text import quoted, shortened


class UserError(ValueError):
    """A mistake the user can mend: the message names the value, what was expected, what to do.

    Entry points print it without a traceback and exit with 2.
    """


class WaitsForRun(UserError):  # noqa: N818 - read as a sentence
    """A run cannot be done before another one, which may be a job of the same sweep.

    Attributes:
        task: benchmark and name of that run's task.
    """

    def __init__(self, message: str, task: str) -> None:
        super().__init__(message)
        self.task = task


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
    """Return up to ``limit`` entries of ``known`` that are spelt like ``name``, in capitals or not,
    nearest first."""
    spelt = {one.lower(): one for one in known}
    return [spelt[one] for one in difflib.get_close_matches(name.lower(), spelt, limit, 0.5)]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"``, or nothing where no entry of ``known`` is near."""
    close = near(name, known, limit=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


def check_one_of(
    what: str, name: object, known: Iterable[str], advice: str = "choose one of"
) -> None:
    """Check that ``name`` is in ``known``; the message offers near names, then all of them."""
    names = list(known)
    if name not in names:
        near = did_you_mean(str(name), names)
        raise UserError(f"{what} {quoted(name)} is unknown{near}: {advice} {', '.join(names)}.")
