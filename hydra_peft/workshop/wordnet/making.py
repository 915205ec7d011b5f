"""From WordNet's files to the files of benchmark `mini_glue`, the same bytes each time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra_peft.errors import UserError
from hydra_peft.files import atomic_write
from hydra_peft.workshop.wordnet import acceptable, entail, same_sense, similar, supersense
from hydra_peft.workshop.wordnet.library import Example, Library
from hydra_peft.workshop.wordnet.shares import FIT, TEST, VAL
from hydra_peft.workshop.wordnet.synsets import Synset

LICENCE = "LICENSE"
_SIZES = {FIT: 2100, VAL: 420, TEST: 1500}


@dataclass(frozen=True)
class TextTask:
    """One task.

    Attributes:
        columns: names of its texts.
        splits: of each file by name: the share of its synsets, and how many examples it has.
        draw: returns the examples of a split, by library, split's name, share and number.
    """

    columns: Sequence[str]
    splits: Mapping[str, tuple[str, int]]
    draw: Callable[[Library, str, str, int], list[Example]]


def _splits(**others: int) -> dict[str, tuple[str, int]]:
    sizes = {**_SIZES, **others}
    return {name: (name if name in _SIZES else TEST, size) for name, size in sizes.items()}


def _entail(library: Library, split: str, share: str, count: int) -> list[Example]:
    return entail.examples(library, share, count, "v" if split == "verbs" else "n")


def _whatever_the_split(
    examples: Callable[[Library, str, int], list[Example]],
) -> Callable[[Library, str, str, int], list[Example]]:
    return lambda library, _, share, count: examples(library, share, count)


TASKS: Mapping[str, TextTask] = {
    "supersense": TextTask(supersense.COLUMNS, _splits(), _whatever_the_split(supersense.examples)),
    "entail": TextTask(entail.COLUMNS, _splits(verbs=300), _entail),
    "similar": TextTask(similar.COLUMNS, _splits(), _whatever_the_split(similar.examples)),
    "acceptable": TextTask(acceptable.COLUMNS, _splits(), _whatever_the_split(acceptable.examples)),
    "same_sense": TextTask(
        same_sense.COLUMNS, _splits(test=600), _whatever_the_split(same_sense.examples)
    ),
}


def make(
    synsets: Mapping[str, Synset], licence: str, out: Path, *, at_most: int | None = None
) -> dict[str, int]:
    """Write all tasks below ``out``, and WordNet's licence beside them.

    Args:
        synsets: all, by id.
        licence: its notice, which copies of what is made of WordNet carry.
        out: folder; what it holds of a split is replaced.
        at_most: examples of a split, where not all are wanted.

    Returns:
        The number of examples by file.

    Raises:
        UserError: WordNet has fewer examples of a task than it needs.
        OSError: the folder cannot be written.
    """
    library = Library(synsets)
    counts = {}
    for name, task in TASKS.items():
        for split, (share, size) in task.splits.items():
            wanted = size if at_most is None else min(size, at_most)
            found = task.draw(library, split, share, wanted)
            if len(found) < wanted:
                raise UserError(
                    f"of task {name} there are {len(found)} examples for {split}, and {wanted} "
                    "are wanted: is WordNet complete?"
                )
            file = out / name / f"{split}.tsv"
            file.parent.mkdir(parents=True, exist_ok=True)
            atomic_write(file, _table(task.columns, found))
            counts[f"{name}/{split}"] = len(found)
    atomic_write(out / LICENCE, licence.encode())
    return counts


def _table(columns: Sequence[str], examples: Sequence[Example]) -> bytes:
    lines = ["\t".join((*columns, "label"))]
    lines += ["\t".join((*one.texts, str(one.label))) for one in examples]
    return ("\n".join(lines) + "\n").encode()
