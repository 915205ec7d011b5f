"""Sentences about disks that refuse a write: full, read-only, over a quota."""

from __future__ import annotations

import errno
import functools
import os
import resource
import tempfile
from pathlib import Path

from hydra_peft.errors import UserError
from hydra_peft.links import leads_nowhere
from hydra_peft.plain_text import quoted, shortened, size_in_words

_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "no file may become so large",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ENOTDIR: "part of the path is a file",
    errno.EISDIR: "there is a folder of that name",
    errno.EEXIST: "there is a file of that name",
    errno.ENOENT: "no such folder",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ELOOP: "links there lead to each other",
    errno.EIO: "the disk reports an error",
}

#: characters of a path in a message
_LONGEST_PATH = 500
#: what Python says where neither TMPDIR nor /tmp nor the working folder takes a file
_NO_TEMPORARY = "No usable temporary directory"
#: bytes that file systems let a name have
_LONGEST_NAME = 255
_PASSING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
#: what a user can do where the place is the right one; of other errors: choose another place
_REMEDIES = {
    errno.ENOSPC: "make room",
    errno.EDQUOT: "make room",
    errno.EROFS: "let it be written to",
    errno.EACCES: "let it be written to",
    errno.EPERM: "let it be written to",
    errno.ENOTDIR: "move that file away",
    errno.EISDIR: "move that folder away",
}


class TakesNoMore(OSError):  # noqa: N818 - read as a sentence
    """An error of a disk that takes no more, where a sentence of its own says what was written.

    Attributes:
        sentence: for the user.
    """

    def __init__(self, error: OSError, sentence: str) -> None:
        super().__init__(error.errno, error.strerror, error.filename)
        self.sentence = sentence


def unwritten(what: str, error: OSError, elsewhere: str) -> Exception:
    """Return the mistake that ``what`` could not be written; one that no later run can survive
    where the disk takes no more.

    Args:
        what: what it is, and its file.
        elsewhere: how it is kept in another place, or not at all.
    """
    sentence = f"cannot write {what}: {why(error)}; {remedy(error, elsewhere)}."
    return TakesNoMore(error, sentence) if takes_no_more(error) else UserError(sentence)


def may_pass(error: BaseException) -> bool:
    """Whether ``error`` is of a disk that takes no more for now: somebody may make room."""
    return isinstance(error, OSError) and error.errno in _PASSING


def takes_no_more(error: BaseException) -> bool:
    """Whether ``error`` is of the disk as a whole, so that what comes next fares no better."""
    return may_pass(error) or (isinstance(error, OSError) and error.errno == errno.EIO)


def disk_sentence(error: OSError, key: str = "paths.runs") -> str | None:
    """Return a sentence for an error of the disk during a run, None for any other.

    Args:
        key: what sets the folder.
    """
    if isinstance(error, TakesNoMore):
        return error.sentence
    if error.errno == errno.ENAMETOOLONG:  # whether it was to be read or written
        name = quoted(error.filename, os.fsdecode)
        most = f"a name has at most {_LONGEST_NAME} bytes, a path 4096."
        return f"no file or folder can be called {name}: {most}"
    if error.errno == errno.ENOENT and (error.strerror or "").startswith(_NO_TEMPORARY):
        return (
            "no folder for temporary files takes one: make room there (or raise `ulimit -f`), or "
            "set the variable TMPDIR to a folder that does."
        )
    said = disk_reason(error)
    elsewhere = f"set {key} to another folder"
    if not error.filename and takes_no_more(error):  # what is printed has no name either
        elsewhere += " or send what is printed elsewhere, whichever it was"
    return said and f"{said}; {remedy(error, elsewhere)}. What was complete before is kept."


def reading_sentence(error: OSError) -> str | None:
    """Return a sentence where ``error`` is of a file or folder that may not be read, else None."""
    if error.errno not in (errno.EACCES, errno.EPERM) or not error.filename:
        return None
    name = part = os.path.abspath(os.fsdecode(error.filename))
    while not os.path.lexists(part):  # nor is what lies in a folder that may not be searched
        part = os.path.dirname(part)
    if os.access(part, os.R_OK if part == name else os.X_OK):
        return None
    shown = shortened(name, _LONGEST_PATH)
    return f"cannot read {shown}: permission denied; let {part} be read by you."


def remedy(error: OSError, elsewhere: str) -> str:
    """Return what to do about an error of the disk, as in ``make room, or <elsewhere>``."""
    if error.errno == errno.EFBIG and (most := _largest()) is not None:
        own = most[1] == resource.RLIM_INFINITY
        # of every folder; one that the shell has set for good it does not lift either
        where = "type `ulimit -S -f unlimited` first" if own else "start it in a shell without it"
        return f"{where}, since other folders have the same limit"
    here = _REMEDIES.get(error.errno or 0)
    return f"{here}, or {elsewhere}" if here else elsewhere


def disk_reason(error: OSError) -> str | None:
    """Return the beginning of a sentence about a disk error and its file; None for other errors."""
    reason = _reason(error)
    if reason is None:
        return None
    if leads := _leads_nowhere(error):
        reason = f"it is {leads}"
    name = error.filename2 or error.filename  # of a rename that which it was to become
    where = f" at {shortened(os.fsdecode(name), _LONGEST_PATH)}" if name else ""
    return f"cannot write{where}: {reason}"


def why(error: OSError) -> str:
    """Return why something could not be written, after a message's own words on what it was."""
    if leads := _leads_nowhere(error):
        return f"{shortened(os.fsdecode(error.filename), _LONGEST_PATH)} is {leads}"
    return _reason(error) or error.strerror or str(error)


def _reason(error: OSError) -> str | None:
    reason = _REASONS.get(error.errno or 0)
    if error.errno == errno.EFBIG and (most := _largest()) is not None:
        return f"{reason} here: `ulimit -f` allows {size_in_words(most[0])}"
    return reason


def _largest() -> tuple[int, int] | None:
    """Return how many bytes a file of this process may have, and what that may be raised to; None
    where nothing but the file system limits it."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    return None if limits[0] == resource.RLIM_INFINITY else limits


def _leads_nowhere(error: OSError) -> str | None:
    """Return in words that what is in the way, of which the system says that it exists, does not.

    None of other errors.
    """
    name = error.filename
    return leads_nowhere(name) if error.errno == errno.EEXIST and name else None


def check_writable(folder: Path, key: str = "paths.runs") -> None:
    """Check that ``folder`` can be written to, or made where it is not yet; nothing stays there.

    Args:
        key: what sets it, for the message.

    Raises:
        UserError: it cannot, with what is in the way.
    """
    absolute = Path(os.path.abspath(folder))
    for name in absolute.parts:
        if len(os.fsencode(name)) > _LONGEST_NAME:  # of which nothing says whether it is there
            long = OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), name)
            raise UserError(f"{key} is not allowed: {disk_sentence(long)}")
    for part in (absolute, *absolute.parents):
        if os.path.isdir(part):
            try:
                _try_to_write(part)
            except OSError as error:
                # What file systems of the kernel's own, such as /proc, say means something else.
                reason = errno.EACCES if error.errno == errno.ENOENT else error.errno or errno.EIO
            else:
                return
        elif os.path.lexists(part):
            reason = errno.EEXIST
        else:
            continue
        said = OSError(reason, os.strerror(reason), str(part))
        raise UserError(disk_sentence(said, key) or f"cannot write at {part}: {said.strerror}.")


@functools.lru_cache(maxsize=64)  # jobs of a sweep share their folder
def _try_to_write(folder: Path) -> None:
    os.rmdir(tempfile.mkdtemp(prefix=".hydra_peft-", dir=folder))
