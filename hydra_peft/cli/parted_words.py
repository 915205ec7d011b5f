"""Words of a command line in which a key is parted from its value otherwise than by one ``=``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from hydra_peft.errors import UserError
from hydra_peft.plain_text import quoted

#: a key and its value with a mark or blanks between them
_APART = re.compile(
    r"([+]*[A-Za-z_][\w./@-]*?)(?:(?:\s*(?:->|=>|\+=|[:=]))+|\s)\s*(.*)", re.ASCII | re.DOTALL
)
#: a group and a key with a mark other than a dot between them
_NESTED = re.compile(r"(\w+)[:/](\w+)(?=\s*[:=])")
#: a word that is one by itself
_KEY_VALUE = re.compile(r"[+]*[A-Za-z][\w.@]*=")
#: a word whose parts a shell took for several
AT_BLANKS = "a shell parts words at blanks: without them it is {}"
#: a word, and what is one by itself in it
IN_ONE = (
    "{} is several words in one pair of quotes, {} among them: leave these quotes out, of a "
    "variable too."
)
#: what flags begin with, and what texts that are copied have in its place
DASHES = "-\u2010\u2011\u2013\u2014\u2212"


def check_quoted(words: Sequence[str], is_key: Callable[[str], object]) -> None:
    """Check that no word is several that stand in one pair of quotes, as ``"$ARGS"`` may be.

    Raises:
        UserError: what follows a blank in one is a key with its ``=``.
    """
    for word in words:
        # A text in quotes of its own, or what is in brackets, may hold anything.
        bare = re.sub(r"""(["']).*?\1|[\[{(].*""", "", word, flags=re.DOTALL)
        for key in re.findall(r"[^\s+~]\s+[+~]*([A-Za-z][\w./@-]*)=(?!=)", bare):
            if is_key(key):
                raise UserError(IN_ONE.format(quoted(word), f"{key}=..."))


def gathered(
    words: Sequence[str], place: int, is_key: Callable[[str], object]
) -> tuple[str, str, int]:
    """Return the key that the word at ``place`` is of, the value typed, and in how many words.

    These are the words that a shell may have parted: ``seed``, ``=`` and ``3``; ``seed=0,`` and
    ``1``; ``seed:`` and ``3``. The value is empty where none was typed.

    Args:
        words: of a command line.
        place: of one that is not ``key=value``.
        is_key: whether a text is a key.
    """
    first = place
    while first and not _begins(words[first], is_key) and not _is_flag(words[first]):
        first -= 1
    if not _begins(words[first], is_key):
        first = place
    last = first + 1
    while last < len(words) and not (
        _is_flag(words[last]) or _KEY_VALUE.match(words[last]) or _begins(words[last], is_key)
    ):
        last += 1
    key, value = apart(" ".join(words[first:last]), is_key)
    return key, value, last - first


def _begins(word: str, is_key: Callable[[str], object]) -> bool:
    return bool(is_key(apart(word, is_key)[0]))


def _is_flag(word: str) -> bool:
    return bool(re.match(r"[~]|-(?!\.?\d)", word))


def apart(text: str, is_key: Callable[[str], object]) -> tuple[str, str]:
    """Return the key that ``text`` begins with, and what follows the mark or blank after it."""
    text = re.sub(r"^\+*\s+", "", text)
    if (nested := _NESTED.match(text)) and is_key(f"{nested[1]}.{nested[2]}"):
        text = f"{nested[1]}.{text[nested.start(2) :]}"
    found = _APART.fullmatch(text)
    return (found[1], found[2].strip()) if found else (text, "")
