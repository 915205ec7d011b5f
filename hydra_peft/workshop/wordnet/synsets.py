"""WordNet's synsets, read from its database files ``data.noun``, ``data.verb``, ...

Their format is that of the manual page ``wndb(5)`` of WordNet 3.0 (Princeton University 2006): one
line a synset, ``offset file type words... pointers... | gloss``, after lines of the licence, which
begin with two spaces.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from hydra_peft.data.sources.mini_glue import CLASSES
from hydra_peft.errors import UserError

#: sha256 of the files in Debian's package wordnet-base 1:3.0-37
SHA256 = {
    "data.noun": "fea17d2f9656611334eac790e5d69e47645fa180c4aa481fb4cd9b3520754ca2",
    "data.verb": "adcf43e35b581e8036d8b5a52d63d9cd3d3b4870b2720d3c03c799df44777bc2",
    "data.adj": "c89120dfc1f046ddff4a631bf9b7e9fa1a36b5e86565a23bf82dbe14f30b88a7",
    "data.adv": "444a63bf3955080ab7524f5079cfc07ff9bc682cb98bdb1db73b0fb9829f1139",
}
#: names of the files that lexicographers kept nouns in, by number
NOUN_FILES = dict(enumerate(CLASSES["supersense"], 3))
_QUOTED = re.compile(r'"([^"]+)"')
_HYPERNYM, _INSTANCE, _ANTONYM = "@", "@i", "!"
#: satellites of adjectives are kept in the file of adjectives
_PARTS = {"n": "n", "v": "v", "a": "a", "s": "a", "r": "r"}


@dataclass(frozen=True)
class Synset:
    """Words of one meaning.

    Attributes:
        id: part of speech (n, v, a or r) and offset in its file, such as ``n00001740``.
        file: number of its lexicographers' file.
        words: that have this meaning, with spaces.
        hypernyms: ids of more general synsets.
        instance: whether it is one of a kind, such as a person or a place with a proper name.
        antonyms: ids of synsets that have a word opposite to one of these.
        definition: the gloss without its examples.
        examples: sentences, or parts of them, that use one of the words.
    """

    id: str
    file: int
    words: tuple[str, ...]
    hypernyms: tuple[str, ...]
    instance: bool
    antonyms: tuple[str, ...]
    definition: str
    examples: tuple[str, ...]

    @property
    def part(self) -> str:
        """Part of speech: n, v, a or r."""
        return self.id[0]


def read_synsets(folder: Path, sha256: Mapping[str, str] = SHA256) -> dict[str, Synset]:
    """Return all synsets by id, in the order of the files.

    Args:
        folder: that holds the files, such as ``/usr/share/wordnet``.
        sha256: names of the files, and the hash that each must have.

    Raises:
        UserError: a file is missing, another one than Debian's, or a line is no synset.
    """
    return {one.id: one for name in sha256 for one in _read(folder / name, sha256[name])}


def read_licence(folder: Path) -> str:
    """Return the notice that WordNet's files begin with, and copies of their content must carry."""
    lines = (folder / next(iter(SHA256))).read_text("ascii").splitlines()
    notice = (line for line in lines if line.startswith("  "))
    return "\n".join(line[2:].partition(" ")[2].rstrip() for line in notice) + "\n"


def _read(file: Path, sha256: str) -> Iterator[Synset]:
    if not os.path.isfile(file):
        raise UserError(
            f"{file} is not there: give source=<folder of WordNet's files>, such as "
            "/usr/share/wordnet of Debian's package wordnet-base 1:3.0-37."
        )
    content = file.read_bytes()
    if (found := hashlib.sha256(content).hexdigest()) != sha256:
        raise UserError(
            f"{file} is not the one of Debian's package wordnet-base 1:3.0-37: its sha256 is "
            f"{found}, and {sha256} is expected."
        )
    for line in content.decode("ascii").splitlines():
        if not line.startswith("  "):
            yield _synset(line, file)


def _synset(line: str, file: Path) -> Synset:
    data, _, gloss = line.partition(" | ")
    try:
        offset, number, kind, count, *rest = data.split()
        words = 2 * int(count, 16)
        pointers = rest[words + 1 :]
        targets: dict[str, list[str]] = {}
        for place in range(0, 4 * int(rest[words]), 4):
            symbol, target, part = pointers[place : place + 3]
            targets.setdefault(symbol, []).append(_PARTS[part] + target)
        part = _PARTS[kind]
    except (ValueError, IndexError, KeyError):
        raise UserError(f"{file} has a line that is no synset: '{line[:80]}'.") from None
    definition, examples = _split(gloss)
    return Synset(
        id=part + offset,
        file=int(number),
        words=tuple(_word(word) for word in rest[:words:2]),
        hypernyms=tuple(dict.fromkeys(targets.get(_HYPERNYM, ()))),
        instance=_INSTANCE in targets,
        antonyms=tuple(dict.fromkeys(targets.get(_ANTONYM, ()))),
        definition=definition,
        examples=examples,
    )


def _word(written: str) -> str:
    """Return a word as it is read: without a marker of an adjective's place, such as ``(p)``."""
    return re.sub(r"\(\w+\)$", "", written).replace("_", " ")


def _split(gloss: str) -> tuple[str, tuple[str, ...]]:
    """Return definition and examples; these are quoted, at the end."""
    definition = gloss.partition('"')[0].strip().rstrip(";:,-").strip()
    examples = (" ".join(one.split()) for one in _QUOTED.findall(gloss))
    return " ".join(definition.split()), tuple(dict.fromkeys(one for one in examples if one))
