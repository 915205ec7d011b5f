"""Text files that list one example a line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from hydra_peft.errors import UserError

#: a file or folder name within a pattern: nothing hidden, nothing that leaves the folder
NAME = r"[^/\\.][^/\\]*"


@dataclass(frozen=True)
class Entry:
    """One line of a list.

    Attributes:
        listing: the list's file.
        line: counted from 1.
        fields: the groups of the line's pattern; the first identifies the example.
    """

    listing: Path
    line: int
    fields: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.listing}, line {self.line}"


def read_entries(listing: Path, pattern: str, form: str) -> list[Entry]:
    """Return the entries of a UTF-8 text file, blank lines left out.

    Args:
        listing: the file.
        pattern: regular expression that matches a whole line without surrounding blanks.
        form: what a line looks like, for messages.

    Raises:
        UserError: the file cannot be read or is empty, or a line does not match.
    """
    try:
        text = listing.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot read {listing}: {error.strerror or error}.") from None
    except UnicodeDecodeError as error:
        raise UserError(
            f"{listing} is no UTF-8 text (byte {error.start}): fetch or unpack it again."
        ) from None
    entries = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        match = re.fullmatch(pattern, line.strip())
        if match is None:
            raise UserError(
                f"{listing}, line {number}: {line.strip()[:100]!r} is not of the form '{form}': "
                "fetch or unpack it again."
            )
        entries.append(Entry(listing, number, match.groups()))
    if not entries:
        raise UserError(f"{listing} is empty, it should list '{form}': fetch or unpack it again.")
    return entries


def is_below(name: str, folder: str = "") -> bool:
    """Whether ``name`` is a file in ``folder``, or a plain file name where none is given."""
    return re.fullmatch(rf"{re.escape(folder)}/{NAME}" if folder else NAME, name) is not None


def refuse_repeats(entries: Iterable[Entry]) -> None:
    """Check that no two entries, of one list or of several, are of the same example."""
    seen: dict[str, Entry] = {}
    for entry in entries:
        before = seen.setdefault(entry.fields[0], entry)
        if before is not entry:
            raise UserError(
                f"{entry}: '{entry.fields[0]}' stands already in {before}: fetch or unpack the "
                "lists again."
            )
