"""Task `similar`: how near are the meanings of two definitions, from 0 to 5?

The value is five times the similarity of Wu and Palmer (ACL 1994) of their nouns.
"""

from __future__ import annotations

from collections.abc import Iterator

from hydra_peft.workshop.wordnet.library import Example, Library
from hydra_peft.workshop.wordnet.shares import share_of
from hydra_peft.workshop.wordnet.synsets import Synset

COLUMNS = ("definition1", "definition2")
_MOST = 5.0


def examples(library: Library, share: str, count: int) -> list[Example]:
    """Return pairs of definitions, of which a quarter each are of sisters, of cousins, of one
    category, and of any two nouns; each definition stands in one pair."""
    order = library.drawn("similar", "n", share)
    second = library.drawn("similar second", "n", share)
    used: set[str] = set()
    found: list[Example] = []
    for one in order:
        if len(found) == count:
            break
        if one.id in used:
            continue
        for other in _candidates(library, one, second, kind=len(found) % 4):
            free = other.id not in used and other.id != one.id and share_of(other.id) == share
            if free and library.serves(other):
                used |= {one.id, other.id}
                value = round(_MOST * wu_palmer(library, one.id, other.id), 2)
                found.append(Example((one.definition, other.definition), value))
                break
    return found


def wu_palmer(library: Library, first: str, second: str) -> float:
    """Return ``2 d / (a + b + 2 d)``, the most that an ancestor of both gives.

    a and b are the least steps from the two synsets to it, d is its own depth: that of a root is
    1. Without a common ancestor it is 0.
    """
    above, other = library.ancestors(first), library.ancestors(second)
    values = [0.0]
    for id in above.keys() & other.keys():
        depth = 1 + max(library.ancestors(id).values())
        values.append(2.0 * depth / (above[id] + other[id] + 2.0 * depth))
    return max(values)


def _candidates(library: Library, one: Synset, second: list[Synset], kind: int) -> Iterator[Synset]:
    if kind == 0:
        yield from library.sisters(one)
    elif kind == 1:
        for general in one.hypernyms:
            for aunt in library.sisters(library.synsets[general]):
                yield from (library.synsets[id] for id in library.below[aunt.id])
    elif kind == 2:
        yield from (other for other in second if other.file == one.file)
    else:
        yield from second
