"""Names of a command line with commas between them, read with nothing left out and none twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from hydra_peft.errors import UserError
from hydra_peft.plain_text import quoted

#: words that brackets keep together at most: a text of any length takes no time
_LONGEST = 200
#: quotation marks that a name may have around it: those of messages, and what people type beside
_QUOTES = ("'", '"')


def listed(key: str, text: str, known: Iterable[str] = (), *, brackets: bool = True) -> list[str]:
    """Return the names in ``text``, without blanks around them, in their order.

    Args:
        key: what is given them, for messages.
        text: as it was typed; one name needs no comma, and each may be in quotation marks, as
            messages print those that have commas, or several of ``known`` in one pair of them. All
            may be in brackets, as lists of train.py are.
        known: names that there are, which may have commas of their own: they are found whole,
            with and without blanks behind these, and returned as they are here.
        brackets: False where a name itself may begin and end with these.

    Raises:
        UserError: a name is empty, such as that of a variable of the shell that is not set, or is
            there twice.
    """
    by_words = _by_words(known)
    words = _words(text)
    if brackets and words not in by_words:
        words = _words(without_brackets(text))
    names = _names(words, by_words)
    if "" in names:
        why = "has a name missing beside a comma: leave the comma out, or give a name"
        raise UserError(f"{key}={quoted(text)} {why if names[1:] else 'names none: give a name'}.")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"{key} names {quoted(twice)} twice: leave one of them out.")
    return names


def without_brackets(text: str) -> str:
    """Return what is in the brackets that ``text`` stands in as a whole; without them ``text``."""
    text, deep = text.strip(), 0
    if not (text.startswith("[") and text.endswith("]")):
        return text
    for mark in text[:-1]:
        deep += (mark == "[") - (mark == "]")
        if deep == 0:  # such as [a],[b]
            return text
    return text[1:-1]


def in_one_pair(name: str, text: str) -> str:
    """Return what to do about an unknown ``name`` that ``text`` has in one pair of quotation marks
    with commas inside; nothing about another one."""
    bare, found = "".join(name.split()), "".join(text.split())
    whole = "," in bare and any(mark + bare + mark in found for mark in _QUOTES)
    return " (in one pair of quotation marks: give each name its own)" if whole else ""


def as_known(text: str, known: Iterable[str]) -> str:
    """Return the one of ``known`` that ``text`` is but for blanks beside commas and quotation marks
    around it; without it ``text`` without these."""
    return _by_words(known).get(_words(text)) or _unquoted(text)


def _by_words(known: Iterable[str]) -> dict[tuple[str, ...], str]:
    """Return ``known`` by the words of each name, also in quotation marks."""
    names = list(known)
    # A name as it is goes before another one in quotation marks.
    return {_words(mark + name + mark): name for mark in (*_QUOTES, "") for name in names}


def _unquoted(text: str) -> str:
    inside = len(text) > 1 and text[0] == text[-1] and text[0] in _QUOTES
    return text[1:-1].strip() if inside else text


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(","))


def _names(words: Sequence[str], known: dict[tuple[str, ...], str]) -> list[str]:
    """Return the names that ``words`` are of."""
    names = list[str]()
    for own in _each(words, known):
        whole = _unquoted(text := ", ".join(own))
        quoted_whole = whole != text and own not in known
        inside = _each(_words(without_brackets(whole)), known) if quoted_whole else []
        if inside and all(part in known for part in inside):
            names += [known[part] for part in inside]
        else:
            names.append(known.get(own) or whole)
    return names


def _each(words: Sequence[str], known: dict[tuple[str, ...], str]) -> list[tuple[str, ...]]:
    """Return the words of each name: as few that are not known as can be, then the longest first.
    What of an unknown name stands in brackets or quotation marks stays with it."""
    sizes = sorted({len(name) for name in known}, reverse=True)
    unknown, step = [0] * (len(words) + 1), [1] * len(words)
    for at in reversed(range(len(words))):
        step[at] = end = _together(words, at)
        unknown[at] = unknown[at + end] + 1
        for size in sizes:
            own = tuple(words[at : at + size])
            if len(own) == size and own in known and unknown[at + size] < unknown[at]:
                unknown[at], step[at] = unknown[at + size], size
    found, at = list[tuple[str, ...]](), 0
    while at < len(words):
        found.append(tuple(words[at : at + step[at]]))
        at += step[at]
    return found


def _together(words: Sequence[str], at: int) -> int:
    """Return how many of ``words`` from ``at`` on close the quotation marks or the brackets of the
    first; 1 if none do."""
    found = list(enumerate(words[at : at + _LONGEST], 1))
    if mark := next((mark for mark in _QUOTES if words[at].startswith(mark)), ""):
        closing = (n for n, word in found if word.endswith(mark) and (n > 1 or len(word) > 1))
        if end := next(closing, 0):
            return end
    deep = 0
    for end, word in found:
        deep += sum(word.count(mark) for mark in "([") - sum(word.count(mark) for mark in ")]")
        if deep <= 0:
            return end
    return 1
