"""The texts that `roberta_mini` is pretrained on: what WordNet says of each synset outside test."""

from __future__ import annotations

from collections.abc import Iterable

from hydra_peft.workshop.wordnet.shares import TEST, hidden_texts, share_of
from hydra_peft.workshop.wordnet.synsets import Synset

Pair = tuple[str, str]
#: words of a synset that are named before its definition: further ones are mostly spellings
_WORDS = 2


def corpus(synsets: Iterable[Synset]) -> list[Pair]:
    """Return pairs of texts, of which the second may be empty.

    A synset gives its entry with its first example, and its further examples two by two. An entry
    is its words and its definition, as ``dog, domestic dog: a member of the genus Canis``. Texts
    that a synset of the test share has too are left out, and so are proper names (instances).
    """
    synsets = list(synsets)
    hidden = hidden_texts(synsets)
    pairs: list[Pair] = []
    for one in synsets:
        if one.instance or share_of(one.id) == TEST:
            continue
        texts = [text for text in one.examples if text.lower() not in hidden]
        if one.definition.lower() not in hidden:
            texts.insert(0, f"{', '.join(one.words[:_WORDS])}: {one.definition}")
        texts += [""] * (len(texts) % 2)
        pairs += zip(texts[::2], texts[1::2], strict=True)
    return pairs
