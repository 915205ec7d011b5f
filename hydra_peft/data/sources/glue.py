"""GLUE (Wang et al., arXiv 1804.07461): texts and pairs of texts, a tenth of train held out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra_peft.data.glue_tables import TASKS, Table, read_table
from hydra_peft.data.promises import LabelRange, SeenLabels
from hydra_peft.data.sources._request import DataRequest

if TYPE_CHECKING:
    from hydra_peft.data.split import Texts
    from hydra_peft.data.task_data import TaskData

#: names of the two parts of the training data, and the share that is held out
FIT, HELD_OUT = "train90", "train10"
_SHARE = 10
#: what is drawn is drawn from this and the content
_SALT = b"hydra_peft glue held out:"


@dataclass(frozen=True, kw_only=True)
class GlueOptions:
    """Keys of ``dataset=glue/<task>``.

    Attributes:
        hub: whether to take from the Hugging Face hub what is not in ``paths.data``;
            ``data.hub`` sets it.
    """

    hub: bool = False

    def identity(self) -> dict[str, Any]:
        """Return no option: the data's hash is recorded, wherever it comes from."""
        return {}


OPTIONS = GlueOptions


def text_columns(name: str) -> tuple[str, ...]:
    """Return the names of the columns of texts, as the hub has them."""
    return TASKS[name].texts if name in TASKS else ()


def labels_of(request: DataRequest) -> SeenLabels:
    """Return how many examples each split has, and the least and greatest class; no texts are read
    from parquet.

    Raises:
        UserError: see :func:`hydra_peft.data.glue_tables.read_table`.
    """
    ranges, lineage = {}, ""
    for name in request.splits:
        table = _read(request, "train" if name in (FIT, HELD_OUT) else name, texts=False)
        count, lineage = len(table.labels), table.lineage
        if name in (FIT, HELD_OUT):
            held = count // _SHARE
            count = held if name == HELD_OUT else count - held
        classed = TASKS[request.name].classes
        found = (min(table.labels), max(table.labels)) if classed else (None, None)
        ranges[name] = LabelRange(count, *found)
    return SeenLabels(ranges, lineage, of="texts")


def load(request: DataRequest) -> TaskData:
    """Return the splits: input ``text``, and as targets classes or values.

    ``train10`` is a tenth of the training examples, rounded down, drawn by their content: the same
    ones whatever their order and whichever kind of file they come from.

    Raises:
        UserError: see :func:`hydra_peft.data.glue_tables.read_table`.
    """
    import torch

    from hydra_peft.data.split import Split, Texts
    from hydra_peft.data.task_data import TaskData

    task = TASKS[request.name]
    kind = torch.int64 if task.classes else torch.float32
    splits: dict[str, Split] = {}
    tables: dict[str, Table] = {}
    lineage, notes = "", dict[str, None]()
    for name in request.splits:
        whole = "train" if name in (FIT, HELD_OUT) else name
        table = tables.get(whole) or _read(request, whole, texts=True)
        tables[whole] = table
        texts, labels = Texts(table.texts), torch.tensor(table.labels, dtype=kind)
        if name in (FIT, HELD_OUT):
            rows = _part(texts, name)
            texts, labels = texts.part(rows), labels[rows]
        splits[name] = Split({"text": texts}, labels)
        lineage = table.lineage
        notes |= dict.fromkeys(table.notes)
    return TaskData(splits, lineage, notes=tuple(notes), classes=task.classes)


def _part(texts: Texts, name: str) -> list[int]:
    """Return the positions of the examples of one part, in order; copies stand side by side."""
    salted = [hashlib.sha256(_SALT + bytes(row)).digest() for row in texts.hashes.numpy()]
    order = sorted(range(len(texts)), key=lambda row: (salted[row], row))
    held = len(texts) // _SHARE
    return sorted(order[:held] if name == HELD_OUT else order[held:])


def _read(request: DataRequest, split: str, *, texts: bool) -> Table:
    hub = request.options is not None and request.options.hub
    root = Path(request.root) / request.benchmark
    return read_table(root, request.name, split, hub=hub, texts=texts)
