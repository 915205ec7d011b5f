"""Task `supersense`: which of 26 categories a noun belongs to, told by its definition.

The categories are WordNet's lexicographer files (Ciaramita and Johnson, EMNLP 2003).
"""

from __future__ import annotations

from itertools import islice

from hydra_peft.data.sources.mini_glue import CLASSES
from hydra_peft.workshop.wordnet.library import Example, Library, words_of
from hydra_peft.workshop.wordnet.synsets import NOUN_FILES, Synset

COLUMNS = ("definition",)


def examples(library: Library, share: str, count: int) -> list[Example]:
    """Return definitions and their categories, as often as nouns have them."""
    found = (one for one in library.drawn("supersense", "n", share) if not _told(one))
    return [
        Example((one.definition,), CLASSES["supersense"].index(NOUN_FILES[one.file]))
        for one in islice(found, count)
    ]


def _told(one: Synset) -> bool:
    """Whether the definition has the name of the category, as `an animal that ...`."""
    name = NOUN_FILES[one.file]
    return not {name, f"{name}s"}.isdisjoint(words_of(one.definition))
