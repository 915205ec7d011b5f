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


TASKS: Mapping[str, TextTask] = {
    "supersense": TextTask(
        supersense.COLUMNS, _splits(), lambda all, _, *of: supersense.examples(all, *of)
    ),
    "entail": TextTask(
        entail.COLUMNS,
        _splits(verbs=300),
        lambda all, name, *of: entail.examples(all, *of, "v" if name == "verbs" else "n"),
    ),
    "similar": TextTask(similar.COLUMNS, _splits(), lambda all, _, *of: similar.examples(all, *of)),
    "acceptable": TextTask(
        acceptable.COLUMNS, _splits(), lambda all, _, *of: acceptable.examples(all, *of)
    ),
    "same_sense": TextTask(
        same_sense.COLUMNS, _splits(test=600), lambda all, _, *of: same_sense.examples(all, *of)
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
