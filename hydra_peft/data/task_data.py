"""A task's data: its splits as a source gives them, where they come from, and their hashes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from hydra_peft.data.promises import LabelRange, SeenLabels
from hydra_peft.data.split import Split


@dataclass(frozen=True)
class TaskData:
    """Splits of a task by name, and where they come from.

    Attributes:
        splits: those asked for.
        lineage: ``generated``, ``originals`` (prepared here from the original files) or
            ``archive`` (prepared by someone else), or the kind of source that one's own data has.
        partial: whether it was prepared from an incomplete original; sizes may be right all the
            same.
        notes: sentences on how it differs from the community's data.
        classes: their names, by label; empty where they have none.
        whole: labels as they were before some of the training data was drawn; None where all is
            there.
    """

    splits: Mapping[str, Split]
    lineage: str
    partial: bool = False
    notes: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    whole: SeenLabels | None = None

    def seen_labels(self) -> SeenLabels:
        """Return how many targets each split has at its source, and the range of their labels."""
        if self.whole is not None:
            return self.whole
        ranges = {name: _range_of(split.targets) for name, split in self.splits.items()}
        return SeenLabels(ranges, self.lineage, self.partial, self.of)

    @property
    def of(self) -> str:
        """Noun for the examples, in the plural: ``images`` or, where there are texts, ``texts``."""
        given = {name for split in self.splits.values() for name in split.inputs}
        return "texts" if "text" in given else "images"

    def describe(self) -> dict[str, object]:
        """Describe the data for a record: hashes, counts, lineage and defects."""
        hashes = {name: split.sha256() for name, split in sorted(self.splits.items())}
        whole = hashlib.sha256(" ".join(hashes.values()).encode()).hexdigest()
        counts = {name: len(split) for name, split in sorted(self.splits.items())}
        return {
            "sha256": whole,
            "splits": hashes,
            "counts": counts,
            "lineage": self.lineage,
            "partial": self.partial,
            "notes": list(self.notes),
            **({"classes": list(self.classes)} if self.classes else {}),
        }


def _range_of(targets: Tensor) -> LabelRange:
    if targets.dtype == torch.int64 and targets.dim() == 1:
        return LabelRange.of(targets.tolist())
    return LabelRange(len(targets))
