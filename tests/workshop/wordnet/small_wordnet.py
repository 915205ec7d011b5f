"""A made-up WordNet in the original's file format, large enough for a few examples of each task."""

from __future__ import annotations

import hashlib
from pathlib import Path

LICENCE = "  1 A made-up notice of a licence,  \n  2 in two lines.  \n"
NOUNS, VERBS = 700, 500
#: children of each synset but the last ones
_FAMILY = 12
#: synsets that share a word
_SENSES = 10
_FILES = (5, 6, 20)


def line(
    offset: int, file: int, kind: str, words: str, pointers: list[tuple[str, int]], gloss: str
) -> str:
    """Return a line of a data file: words with commas between, pointers by symbol and offset."""
    named = words.split(",")
    parts = [f"{offset:08d} {file:02d} {kind} {len(named):02x}", *(f"{one} 0" for one in named)]
    parts.append(f"{len(pointers):03d}")
    parts += [f"{symbol} {target:08d} {kind} 0000" for symbol, target in pointers]
    if kind == "v":
        parts.append("01 + 02 00")
    return " ".join(parts) + f" | {gloss}  \n"


def write(folder: Path, files: dict[str, str]) -> dict[str, str]:
    """Write the data files; return their hashes by name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_text(LICENCE + content, "ascii")
    return {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in files}


def small_wordnet(folder: Path) -> dict[str, str]:
    """Write a small WordNet of trees of nouns and of verbs; return the hashes of its files."""
    return write(
        folder, {"data.noun": _tree("n", NOUNS), "data.verb": _tree("v", VERBS), "data.adj": ""}
    )


def _tree(kind: str, count: int) -> str:
    lines = []
    for number in range(count):
        parent = (number - 1) // _FAMILY
        pointers = [("@", parent + 1)] if number else []
        shared = f"word{'abcdefghij'[number // _SENSES % 10]}{'klmnopqrst'[number // 100]}"
        gloss = (
            f"the {kind} of number {number} with a kind of mark; "
            f'"he has a {shared} in house {number} today"; '
            f'"the old {shared} is near the {number}th tree"; "they were in a {shared} {number}"'
        )
        file = _FILES[number % 3] if kind == "n" else 30
        lines.append(line(number + 1, file, kind, f"own_{number},{shared}", pointers, gloss))
    return "".join(lines)
