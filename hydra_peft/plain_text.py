"""Texts and numbers, made fit to be printed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hydra_peft.quoting import of_file

#: a spreadsheet takes a text that begins so for a formula, in full width too; a number is none
_FORMULA = re.compile(r"\s*(?:[=@\uff1d\uff20\uff0b\uff0d]|[+-](?!\d*\.?\d+(?:e[+-]?\d+)?\Z))")
#: characters of a long sentence that are shown of its begin and of its end
_BEGIN, _END = 1200, 800
#: characters of a tensor's name in a message; those of models have up to 80
_LONGEST_NAME = 120
#: characters of a refused value in a message
_LONGEST_VALUE = 60
#: what is nearer to zero has no side of it, but a rounding error
_ZERO = 1e-9

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


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


def shortened_apart(names: Sequence[str], limit: int) -> list[str]:
    """Return ``names`` as :func:`shortened` does; of those that begin alike, also what differs."""
    found = [shortened(name, limit) for name in names]
    for short in {name for name in found if found.count(name) > 1}:
        alike = [at for at, name in enumerate(found) if name == short]
        first, *_, last = sorted(names[at] for at in alike)
        pairs = enumerate(zip(first, last, strict=False))
        begin = next((at for at, (one, other) in pairs if one != other), len(first))
        word = max(first.rfind(mark, 0, begin) for mark in " ,(_=") + 1
        start = max(word, begin - limit // 4, limit // 2)
        for at in alike if first != last else ():
            found[at] = shortened(f"{names[at][: limit // 2 - 1]}…{names[at][start:]}", limit)
    return found


def quoted(value: object, as_text: Callable[[Any], str] = repr) -> str:
    """Return a refused ``value`` as a message shows it: one line of at most sixty characters."""
    try:
        return shortened(as_text(value), _LONGEST_VALUE)
    except ValueError:  # Python does not write out whole numbers of more than 4300 digits
        return "<thousands of digits>"


def tensor_name(name: str) -> str:
    """Return the ``name`` of a tensor as a message shows it, which a file gives any length."""
    return of_file(shortened(f"'{name}'", _LONGEST_NAME), "a tensor")


def tensor_shape(shape: Sequence[int]) -> str:
    """Return the ``shape`` of a tensor as a message shows it, which a file gives any length."""
    return quoted(tuple(shape))


def counted(count: int, one: str, several: str = "") -> str:
    """Return ``count`` with its noun, and its verb if it has one: ``1 run``, ``3 images are``.

    Args:
        count: of things.
        one: the words for a single one.
        several: those for any other number; empty where an s is all that is added.
    """
    return f"{count:,} {one if count == 1 else several or f'{one}s'}"


def in_a_row(names: Iterable[str]) -> str:
    """Return ``names`` with commas between them, in quotation marks where they have their own."""
    return ", ".join(f"'{name}'" if "," in name else name for name in names)


def few_of_each(sentences: Iterable[str], most: int) -> list[str]:
    """Return ``sentences``, of those that begin alike, up to a colon, at most so many; one more
    says how many others there are."""
    kinds: dict[str, list[str]] = {}
    for number, sentence in enumerate(sentences):
        kind, colon, _ = sentence.partition(": ")
        kinds.setdefault(kind if colon else f"{number}", []).append(sentence)
    return [
        line
        for kind, own in kinds.items()
        for line in (*own[:most], *[f"{kind}: {len(own) - most:,} more."] * (len(own) > most))
    ]


def size_in_words(count: int) -> str:
    """Return ``count`` bytes in words, as in ``100 KiB`` or ``3.2 GiB``."""
    size, unit = float(count), 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    shown = f"{size:,.1f}".removesuffix(".0") if size < 100 else f"{size:,.0f}"
    return f"{shown} {_UNITS[unit]}"


def rounded_end(value: float, decimals: int) -> str:
    """Return an end of a difference's interval, with its sign. Only what is zero is printed as
    zero: on which side of it an end lies is what the interval tells."""
    if _ZERO < abs(value) < 0.5 * 10**-decimals:
        return f"{value:+.1g}"
    return rounded(value, decimals, sign=True)


def rounded(value: float, decimals: int, *, sign: bool = False) -> str:
    """Return ``value`` with so many decimals, with its ``sign`` if asked; zero never has one."""
    text = f"{value:{'+' if sign else ''}.{decimals}f}"
    return text if text.strip("+-0.") else text.lstrip("+-")
