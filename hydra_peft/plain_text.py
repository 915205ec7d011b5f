"""Texts and numbers, made fit to be printed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

#: a spreadsheet takes a text that begins so for a formula, in full width too; a number is none
_FORMULA = re.compile(r"\s*(?:[=@\uff1d\uff20\uff0b\uff0d]|[+-](?!\d*\.?\d+(?:e[+-]?\d+)?\Z))")
#: characters of a long sentence that are shown of its begin and of its end
_BEGIN, _END = 1200, 800
#: characters of a refused value in a message
_LONGEST_VALUE = 60


def in_one_line(text: str) -> str:
    """Return ``text`` with what would end a line, or steer a terminal, made visible.

    A message quotes what was typed or read, whatever that holds.
    """
    joined = " ".join(text.splitlines())
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in joined)


def csv_text(text: str) -> str:
    """Return ``text`` as a cell of a CSV file: one line, and none that a spreadsheet computes."""
    line = in_one_line(text)
    return f"'{line}" if _FORMULA.match(line) else line


def in_short(text: str) -> str:
    """Return ``text`` as one line, without its middle where it has over two thousand characters.

    A sentence that quotes a value without end says in its end what to do about it.
    """
    if len(text) > _BEGIN + _END:
        left_out = len(text) - _BEGIN - _END
        text = f"{text[:_BEGIN]} ... ({left_out:,} characters) ... {text[-_END:]}"
    return in_one_line(text)


def shortened(text: str, limit: int) -> str:
    """Return ``text`` as one line of at most ``limit`` characters, with an ellipsis where cut."""
    # Each character that is not printable becomes several, so twice is not too little.
    line = in_one_line(text[: 2 * limit])
    return line if len(text) <= limit and len(line) <= limit else f"{line[: limit - 1]}…"


def quoted(value: object, as_text: Callable[[Any], str] = repr) -> str:
    """Return a refused ``value`` as a message shows it: one line of at most sixty characters."""
    try:
        return shortened(as_text(value), _LONGEST_VALUE)
    except ValueError:  # Python does not write out whole numbers of more than 4300 digits
        return "<thousands of digits>"


def rounded(value: float, decimals: int, *, sign: bool = False) -> str:
    """Return ``value`` with so many decimals, with its ``sign`` if asked; zero never has one."""
    text = f"{value:{'+' if sign else ''}.{decimals}f}"
    return text if text.strip("+-0.") else text.lstrip("+-")
