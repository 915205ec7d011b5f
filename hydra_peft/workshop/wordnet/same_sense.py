"""Task `same_sense`: does a word mean the same in two sentences?

In the form of Word-in-Context (Pilehvar and Camacho-Collados, NAACL 2019), the word said first.
Each first sentence stands in two examples, one of each class, with another sentence of its synset
and with one of another synset of the word.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from hydra_peft.workshop.wordnet.library import Example, Library, words_of
from hydra_peft.workshop.wordnet.shares import drawn, share_of

COLUMNS = ("sentence1", "sentence2")
_MOST = 20
#: letters at the end of a word that its forms may have otherwise
_ENDING = 1


def examples(library: Library, share: str, count: int) -> list[Example]:
    """Return pairs of sentences, two for each synset of a word that has the sentences for it."""
    found: list[Example] = []
    for word, senses in sorted(_senses(library, share).items(), key=lambda one: drawn(*one[0])):
        for id, sentences in senses.items():
            others = [text for other, texts in senses.items() if other != id for text in texts]
            if len(sentences) < 2 or not others:
                continue
            ordered = sorted(sentences, key=lambda text: drawn("same", text))
            other = min(others, key=lambda text: drawn("different", ordered[0], text))
            first = f"{word[0]}: {ordered[0]}"
            found += [Example((first, other), 0), Example((first, ordered[1]), 1)]
        if len(found) >= count:
            break
    return found[:count]


def _senses(library: Library, share: str) -> Mapping[tuple[str, str], Mapping[str, list[str]]]:
    """Return the sentences of each synset of a word, by word and part of speech, and synset."""
    senses: dict[tuple[str, str], dict[str, list[str]]] = defaultdict(dict)
    for one in library.synsets.values():
        if share_of(one.id) != share:
            continue
        for word in one.words:
            if not word.isalpha() or not word.islower():
                continue
            stem = word[: max(3, len(word) - _ENDING)]
            sentences = [
                text
                for text in library.examples(one)
                if (words := words_of(text))
                and 1 < len(words) <= _MOST
                and any(each.startswith(stem) for each in words)
            ]
            if sentences:
                senses[word, one.part][one.id] = sentences
    return senses
