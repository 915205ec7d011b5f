"""Task `acceptable`: is it English, or was something done to it?

Sentences are WordNet's examples. In half of them two words change places, an article goes, or a
verb no longer agrees. For each of these three there are as many sentences that it could have been
done to and was not, so that the words alone tell little.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeAlias

from hydra_peft.workshop.wordnet.library import Example, Library, words_of
from hydra_peft.workshop.wordnet.shares import drawn, share_of

COLUMNS = ("sentence",)
_LEAST, _MOST = 5, 20
_AGREEING = {"is": "are", "was": "were", "has": "have", "does": "do"}
_OTHER = {**_AGREEING, **{plural: singular for singular, plural in _AGREEING.items()}}
#: a and an before a word; of `a few people` and `a little water` English remains
_ARTICLE = re.compile(r"\b(?:a|an) (?!few\b|little\b)(?=\w)")
_VERB = re.compile(rf"\b(?:{'|'.join(_OTHER)})\b")
#: around them words may change places
_JOINING = ("and", "or", "but")

Change: TypeAlias = Callable[[str], "str | None"]


def examples(library: Library, share: str, count: int) -> list[Example]:
    """Return sentences, alternately as they are and changed, of each change in turn."""
    sentences = [
        text
        for one in library.synsets.values()
        if share_of(one.id) == share
        for text in library.examples(one)
        if _LEAST <= len(words_of(text)) <= _MOST
    ]
    sentences.sort(key=lambda text: drawn("acceptable", text))
    changes: Sequence[Change] = (exchange, drop_article, disagree)
    found: list[Example] = []
    ahead = iter(sentences)
    while len(found) < count:
        # Two of a change: the first stays as it is.
        number = len(found)
        change = changes[number // 2 % len(changes)]
        for text in ahead:
            if (changed := change(text)) is not None:
                found.append(Example((changed if number % 2 else text,), 1 - number % 2))
                break
        else:
            break
    return found


def exchange(text: str) -> str | None:
    """Return ``text`` with two of its words exchanged that stand apart by one or two; None where
    there are none. The first and the last word stay."""
    words = text.split(" ")
    places = [
        (first, second)
        for first in range(1, len(words) - 2)
        for second in (first + 1, first + 2)
        if second < len(words) - 1
        and words[first].isalpha()
        and words[second].isalpha()
        and words[first].lower() != words[second].lower()
        and not set(words[first : second + 1]) & set(_JOINING)
    ]
    if not places:
        return None
    first, second = min(places, key=lambda place: drawn("exchange", text, str(place)))
    words[first], words[second] = words[second], words[first]
    return " ".join(words)


def drop_article(text: str) -> str | None:
    """Return ``text`` without one `a` or `an`; None where it has none inside."""
    places = [match for match in _ARTICLE.finditer(text) if match.start() > 0]
    if not places:
        return None
    match = min(places, key=lambda match: drawn("article", text, str(match.start())))
    return text[: match.start()] + text[match.end() :]


def disagree(text: str) -> str | None:
    """Return ``text`` with a verb in the other number; None where it has none of those known."""
    places = list(_VERB.finditer(text))
    if not places:
        return None
    match = min(places, key=lambda match: drawn("verb", text, str(match.start())))
    return text[: match.start()] + _OTHER[match[0]] + text[match.end() :]
