"""Guard around every entry point: mistakes end as one sentence and an exit code."""

from __future__ import annotations

import atexit
import contextlib
import io
import logging
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import FrameType
from typing import TextIO

from hydra_peft.commands import PROGRAM, as_started
from hydra_peft.disk_errors import disk_sentence, reading_sentence
from hydra_peft.errors import RunFailed, UserError
from hydra_peft.memory_errors import allowed_memory, let_go, memory_sentence, reserve
from hydra_peft.plain_text import in_short, shortened

FAILED = 1
MISTAKE = 2
INTERRUPTED = 130
#: folders that packages of others lie in, and what begins the variables that they read
_PACKAGES = {"site-packages", "dist-packages"}
_READ_BY_LIBRARIES = ("TORCH", "PYTORCH", "CUDA", "MPL", "HF_")
#: flags of every command, by what is typed for them too
_FLAGS = {"help": "--help", "-help": "--help", "-V": "--version", "-version": "--version"}
#: what a shell reports of a program whose reader left: 128 + SIGPIPE
UNREAD = 141


class Stopped(BaseException):
    """Carries its cause through Hydra, which catches exceptions and prints about them itself."""


def guarded(main: Callable[[], int], key: str = "paths.runs") -> int:
    """Call ``main``; turn exceptions into a sentence on stderr and an exit code.

    The words ``help`` and ``-help`` become ``--help`` before; ``--version`` is told here.

    A user's mistake, a full disk or too little memory gives 2, a run that did not complete 1,
    Ctrl-C, SIGTERM and a terminal that is closed 130, a reader that leaves (``head``,
    ``grep -m1``) 141 and no sentence. Other exceptions are bugs and pass through.

    Args:
        main: what is called.
        key: what sets the folder that it writes into, for messages.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # nohup ignores it
        signal.signal(signal.SIGHUP, _interrupt)
    _open_streams()
    logging.raiseExceptions = False  # it prints a traceback of its own where a reader leaves
    if {"--info", "-i"} & set(sys.argv):  # which Hydra logs; a run goes on without a reader
        logging.StreamHandler.handleError = _let_through  # type: ignore[assignment, method-assign]
    code = None
    try:
        try:
            code = _ending(main, key)
        except SystemExit:
            sys.stdout.flush()
            raise
        # Python writes what is left when it ends, where an error becomes a traceback.
        sys.stdout.flush()
    except BrokenPipeError:
        unread = [stream for stream in (sys.stdout, sys.stderr) if _is_unread(stream)]
        if not unread:
            raise  # a pipe of ours: a bug
        _lead_nowhere(unread)
        return UNREAD
    except OSError as error:
        if (sentence := disk_sentence(error, key)) is None:
            raise
        _lead_nowhere([sys.stdout])
        if code != MISTAKE:  # else it is said
            complain(sentence)
        return MISTAKE
    return code


def _let_through(handler: logging.StreamHandler[TextIO], record: logging.LogRecord) -> None:  # noqa: ARG001
    """Raise what a handler cannot write to stdout."""
    if handler.stream is sys.stdout and isinstance(sys.exc_info()[1], OSError):
        raise  # logging calls this where it caught it


def _lead_nowhere(streams: Iterable[TextIO]) -> None:
    """Let what ``streams`` still hold be lost: Python would try to write it when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in streams:
        os.dup2(nowhere, stream.fileno())


def _say_no_more() -> None:
    with contextlib.suppress(OSError, ValueError):  # a stream of a caller's that is no file
        _lead_nowhere([sys.stderr])


def _open_streams() -> None:
    """Let every print pass: closed streams lead nowhere, no character is too odd for others."""
    for number in range(3):  # else the next file that is opened takes its place
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller: >&-
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        if isinstance(stream := getattr(sys, name), io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a locale without "±"


def _is_unread(stream: TextIO) -> bool:
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)
    except (OSError, ValueError):  # closed, or not a file at all
        return False
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _ending(main: Callable[[], int], key: str) -> int:
    try:
        _check_names()
        _check_ends(sys.argv[1:])
        sys.argv[1:] = [_FLAGS.get(word, word) for word in sys.argv[1:]]
        if "--version" in sys.argv[1:]:
            from importlib.metadata import version  # a fifth of what --help takes

            print(PROGRAM, version(PROGRAM))
            return 0
        reserve()
        return main()
    except UserError as error:
        complain(str(error))
        return FAILED if isinstance(error, RunFailed) else MISTAKE
    except KeyboardInterrupt as interrupt:
        complain(str(interrupt) or "interrupted; what was complete before is kept.")
        return INTERRUPTED
    except OSError as error:
        of_memory = _of_memory(error)
        sentence = of_memory or reading_sentence(error) or disk_sentence(error, key)
        if sentence is None:
            raise
    except Exception as error:
        of_memory = _of_memory(error)
        sentence = of_memory or _import_sentence(error)
        if sentence is None:
            raise
    complain(sentence)
    if of_memory:
        # Libraries have things to do at the end, which find no memory either and print about it.
        atexit.register(_say_no_more)
    return MISTAKE


def _of_memory(error: Exception) -> str | None:
    """Return the sentence on an ``error`` of too little memory, with some freed to print it."""
    if isinstance(error, MemoryError | SystemError):
        let_go(error)
    return memory_sentence(error)


def _check_names() -> None:
    """Check that Python takes the names of files for UTF-8, as records, lists and tables are."""
    if (encoding := sys.getfilesystemencoding()) != "utf-8":
        raise UserError(
            f"Python takes the names of files for {encoding} here, and all that is read and "
            "written is in UTF-8: export PYTHONUTF8=1."
        )


def _check_ends(words: Sequence[str]) -> None:
    """Check that no word ends with what ends a line of a script that was written on Windows."""
    for word in words:
        if word.endswith("\r"):
            raise UserError(
                f"'{word.rstrip()}' is followed by a carriage return, which ends lines on Windows: "
                "save the script with the line ends of Unix, as sed -i 's/\\r$//' does."
            )


def _import_sentence(error: Exception) -> str | None:
    """Return a sentence where a package of others' raised ``error`` while it was loaded.

    What is missing or damaged is told where scripts start; this is what it read on the way.
    """
    codes = [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)]
    modules = [code.co_filename for code in codes if code.co_name == "<module>"]
    loaded = Path(modules[-1] if modules else "")
    ours = loaded.is_relative_to(Path(__file__).parents[1])
    if isinstance(error, ImportError) or ours or not {*loaded.parts} & _PACKAGES:
        return None
    names = ", ".join(sorted(name for name in os.environ if name.startswith(_READ_BY_LIBRARIES)))
    if allowed := allowed_memory():
        return f"{loaded} cannot be loaded ({shortened(str(error), 200)}): raise the {allowed}."
    look = f"look at the environment variables {names}" if names else "install it anew"
    return f"{loaded} cannot be loaded ({shortened(str(error), 200)}): {look}."


def complain(sentence: str) -> None:
    """Print ``sentence`` to stderr in one line, marked as an error."""
    try:
        print(f"error: {in_short(as_started(sentence))}", file=sys.stderr)
    except BrokenPipeError:
        raise
    except OSError:  # a full disk: the exit code tells all the same
        _say_no_more()


def _interrupt(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001
    raise KeyboardInterrupt
