"""Benchmark ``mini_glue``: real English made from WordNet, whose files come with the package."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra_peft
from hydra_peft.data.promises import LabelRange, SeenLabels
from hydra_peft.data.sources._request import DataRequest
from hydra_peft.data.text_tables import read_columns
from hydra_peft.errors import UserError

if TYPE_CHECKING:
    from hydra_peft.data.task_data import TaskData

FOLDER = Path(hydra_peft.__file__).parent / "assets" / "mini_glue"
#: the labelled examples: what is trained on while choosing, and what is held out for it
_TRAIN = ("fit", "val")
LABEL = "label"
#: names of the classes of each task, by label: of supersense those of the files that WordNet's
#: lexicographers kept nouns in, ``lexnames(5)``; a task without them is a regression
CLASSES: dict[str, tuple[str, ...]] = {
    "supersense": (
        *("top", "act", "animal", "artifact", "attribute", "body", "cognition", "communication"),
        *("event", "feeling", "food", "group", "location", "motive", "object", "person"),
        *("phenomenon", "plant", "possession", "process", "quantity", "relation", "shape"),
        *("state", "substance", "time"),
    ),
    "entail": ("entailment", "neutral", "contradiction"),
    "acceptable": ("unacceptable", "acceptable"),
    "same_sense": ("different", "same"),
}
_LINEAGE = "originals"


@functools.cache
def text_columns(name: str) -> tuple[str, ...]:
    """Return the names of the columns of texts in the files of the task ``name``."""
    return tuple(column for column in read_columns(FOLDER / name / "test.tsv") if column != LABEL)


def labels_of(request: DataRequest) -> SeenLabels:
    """Return how many examples each split has, and the least and greatest class.

    Raises:
        UserError: there is no such task or split.
    """
    ranges = {}
    for split in request.splits:
        labels = read_split(request.name, split)[1]
        classes = all(isinstance(label, int) for label in labels)
        found = (min(labels), max(labels)) if classes else (None, None)
        ranges[split] = LabelRange(len(labels), *found)
    return SeenLabels(ranges, _LINEAGE, of="texts")


def load(request: DataRequest) -> TaskData:
    """Return the splits: input ``text``, and as targets classes or values.

    Raises:
        UserError: there is no such task or split.
    """
    import torch

    from hydra_peft.data.split import Split, Texts
    from hydra_peft.data.task_data import TaskData

    splits = {}
    for name in request.splits:
        texts, labels = read_split(request.name, name)
        splits[name] = Split({"text": Texts(texts)}, torch.tensor(labels))
    return TaskData(splits, _LINEAGE, classes=CLASSES.get(request.name, ()))


def read_split(task: str, split: str) -> tuple[tuple[list[str], ...], list[Any]]:
    """Return the columns of texts, and the labels: whole numbers of classes, else floats."""
    parts = _TRAIN if split == "train" else (split,)
    texts: list[list[str]] = []
    written: list[str] = []
    for part in parts:
        file = FOLDER / task / f"{part}.tsv"
        if not file.is_file():
            raise UserError(f"task '{task}' of benchmark mini_glue has no split '{split}'.")
        columns = read_columns(file)
        written += columns.pop(LABEL)
        before = texts or [[] for _ in columns]
        texts = [old + new for old, new in zip(before, columns.values(), strict=True)]
    whole = all(label.isdigit() for label in written)
    return tuple(texts), [int(label) if whole else float(label) for label in written]
