"""Words of a command line in which a key is parted from its value otherwise than by one ``=``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from hydra_peft.errors import UserError
from hydra_peft.plain_text import quoted

#: a key and its value with a colon or blanks between them, all in one word
_APART = re.compile(
    r"([+~]*[A-Za-z_][\w./@-]*?)(?:\s*:?=\s*|\s*:\s*|\s+)(.*)", re.ASCII | re.DOTALL
)
#: of a word that :func:`joined` gives
AT_BLANKS = "a shell parts words at blanks: without them it is {}"
#: a word, and what is one by itself in it
IN_ONE = (
    "{} is several words in one pair of quotes, {} among them: leave these quotes out, of a "
    "variable too."
)
#: what flags begin with, and what texts that are copied have in its place
DASHES = "-\u2010\u2011\u2013\u2014\u2212"
#: what no word ends with or begins with, but for a blank too many
_MARKS = ("=", ",")


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


def joined(words: Sequence[str], place: int) -> str | None:
    """Return the word whose parts a shell took for several, the one at ``place`` among them.

    Those are ``seed=`` and ``3``, ``seed`` and ``=3``, ``seed=0,`` and ``1``. None where it is no
    part of such a word.
    """
    first = last = place
    while first and _goes_on(words[first - 1], words[first]):
        first -= 1
    while last + 1 < len(words) and _goes_on(words[last], words[last + 1]):
        last += 1
    whole = "".join(words[first : last + 1])
    return whole if last > first and not whole.endswith(_MARKS) else None


def _goes_on(word: str, after: str) -> bool:
    """Whether ``after`` may be the rest of ``word``, and is no word by itself."""
    parted = word.endswith(_MARKS) or after.startswith(_MARKS)
    return parted and not re.search(r"^[-+~]|[^=]=", after) and not word.startswith("--")


def apart(word: str, after: Sequence[str], is_key: Callable[[str], object]) -> tuple[str, str]:
    """Return the key of a ``word`` that is not ``key=value``, and the value that was meant for it.

    That is what follows a colon or a blank, or the next word, unless that is one by itself: empty
    where there is none.

    Args:
        word: such as ``seed:3``, ``seed:`` or ``seed``.
        after: the words after it.
        is_key: whether a word is a key, and so no value.
    """
    found = _APART.fullmatch(word)
    key, value = found.groups() if found else (word, "")
    following = after[0].removeprefix("=") if after else ""
    if not value and not is_key(following) and not re.search(r"^[-+~]|=", following):
        value = following
    return key, value
