"""Which synsets are for training, for choosing, and for testing: decided by hash, for all tasks.

A text that a synset of the test share has is in no task's training data, and what is pretrained on
WordNet never reads it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from hydra_peft.workshop.wordnet.synsets import Synset

FIT, VAL, TEST = "fit", "val", "test"
#: of ten equal parts
_PARTS = {FIT: range(6), VAL: range(6, 8), TEST: range(8, 10)}


def share_of(id: str) -> str:
    """Return the share of a synset: six tenths are ``fit``, two ``val``, two ``test``."""
    part = int.from_bytes(drawn("share", id)[:8], "big") % 10
    return next(name for name, parts in _PARTS.items() if part in parts)


def drawn(*words: str) -> bytes:
    """Return a hash of ``words``; sorting by it is a random order that everybody repeats."""
    return hashlib.sha256("\0".join(("mini_glue", *words)).encode()).digest()


def texts_of(synset: Synset) -> tuple[str, ...]:
    """Return definition and examples."""
    return (synset.definition, *synset.examples)


def hidden_texts(synsets: Iterable[Synset]) -> set[str]:
    """Return all texts of the test share, in lower case."""
    return {text.lower() for one in synsets if share_of(one.id) == TEST for text in texts_of(one)}
