"""The texts and relations of WordNet that the tasks of `mini_glue` are drawn from, by share."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from hydra_peft.workshop.wordnet.shares import drawn, share_of, texts_of
from hydra_peft.workshop.wordnet.synsets import Synset

#: words of a definition
_LEAST, _MOST = 4, 20


class Example(NamedTuple):
    """One row of a task: its text or texts, and its class or value."""

    texts: tuple[str, ...]
    label: int | float


class Library:
    """Synsets by share, in an order that each task draws for itself.

    Args:
        synsets: all, by id.

    Attributes:
        synsets: likewise.
        below: ids of the synsets one step more special, by id.
    """

    def __init__(self, synsets: Mapping[str, Synset]) -> None:
        self.synsets = synsets
        self.below: Mapping[str, list[str]] = defaultdict(list)
        for one in synsets.values():
            for general in one.hypernyms:
                self.below[general].append(one.id)
        # A text that several synsets have could be in two shares.
        self._times = Counter(text.lower() for one in synsets.values() for text in texts_of(one))

    def drawn(self, task: str, part: str, share: str) -> list[Synset]:
        """Return the synsets of a part of speech and share whose definitions serve, shuffled."""
        found = [one for one in self.synsets.values() if one.part == part and self.serves(one)]
        found = [one for one in found if share_of(one.id) == share]
        return sorted(found, key=lambda one: drawn(task, one.id))

    def serves(self, one: Synset) -> bool:
        """Whether a definition is of usual length, no other synset's, and of no proper name."""
        words = len(one.definition.split())
        return (
            not one.instance
            and _LEAST <= words <= _MOST
            and self._times[one.definition.lower()] == 1
        )

    def examples(self, one: Synset) -> list[str]:
        """Return the examples of a synset that no other one has."""
        return [text for text in one.examples if self._times[text.lower()] == 1]

    def ancestors(self, id: str) -> dict[str, int]:
        """Return all more general synsets with the least number of steps to each; itself by 0."""
        found = {id: 0}
        ahead = [id]
        for place in ahead:
            for general in self.synsets[place].hypernyms:
                if general not in found:
                    found[general] = found[place] + 1
                    ahead.append(general)
        return found

    def sisters(self, one: Synset) -> Iterator[Synset]:
        """Yield the synsets that share a next more general one with ``one``."""
        for general in one.hypernyms:
            for id in self.below[general]:
                if id != one.id:
                    yield self.synsets[id]

    def unrelated(self, one: Synset, other: Synset) -> bool:
        """Whether neither synset is more general than the other, nor the other's sister."""
        return (
            one.id not in self.ancestors(other.id)
            and other.id not in self.ancestors(one.id)
            and not set(one.hypernyms) & set(other.hypernyms)
        )


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case, without punctuation."""
    return re.findall(r"[a-z']+", text.lower())
