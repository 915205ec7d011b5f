"""Task `entail`: does one definition say what another says, something else, or the contrary?

Each hypothesis stands in three examples, one of each class, so that it alone tells nothing (what
hypotheses alone tell in other such data: Gururangan et al., NAACL 2018). Premises: of a more
special synset (entailment), of the same category and unrelated (neutral), of an antonym or of
another child of the same parent (contradiction).
"""

from __future__ import annotations

from collections.abc import Iterator

from hydra_peft.workshop.wordnet.library import Example, Library
from hydra_peft.workshop.wordnet.shares import share_of
from hydra_peft.workshop.wordnet.synsets import Synset

COLUMNS = ("premise", "hypothesis")


def examples(library: Library, share: str, count: int, part: str = "n") -> list[Example]:
    """Return ``count`` examples, three for each hypothesis; none is a premise twice.

    Args:
        part: of speech, of all synsets: n or v.
    """
    found: list[Example] = []
    pool = library.drawn("entail premise", part, share)
    used: set[str] = set()
    for hypothesis in library.drawn("entail", part, share):
        if len(found) >= count:
            break
        choices = (
            _below(library, hypothesis),
            (one for one in pool if one.file == hypothesis.file),
            _contrary(library, hypothesis),
        )
        premises: list[Synset] = []
        for label, candidates in enumerate(choices):
            free = (
                one
                for one in candidates
                if one.id not in used
                and one.id != hypothesis.id
                and one not in premises
                and share_of(one.id) == share
                and library.serves(one)
                and (label != 1 or library.unrelated(one, hypothesis))
            )
            if (premise := next(free, None)) is None:
                break
            premises.append(premise)
        if len(premises) == len(choices):
            used |= {one.id for one in premises} | {hypothesis.id}
            found += [
                Example((one.definition, hypothesis.definition), label)
                for label, one in enumerate(premises)
            ]
    return found[:count]


def _below(library: Library, one: Synset) -> Iterator[Synset]:
    return (library.synsets[id] for id in library.below[one.id])


def _contrary(library: Library, one: Synset) -> Iterator[Synset]:
    yield from (library.synsets[id] for id in one.antonyms)
    yield from library.sisters(one)
