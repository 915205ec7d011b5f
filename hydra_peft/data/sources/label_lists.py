"""Prepared data on disk whose images have any number of labels: list files and images.

As :mod:`hydra_peft.data.sources.image_lists`, but a line of a list ends in labels with commas
between: ``images/test/000000.jpg 3,7``, or ``-`` for none.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from hydra_peft.data.list_files import read_label_split, task_folder
from hydra_peft.data.manifests import prepared_by
from hydra_peft.data.promises import LabelRange, SeenLabels
from hydra_peft.data.sources._request import DataRequest

if TYPE_CHECKING:
    from hydra_peft.data.task_data import TaskData  # loads torch


def labels_of(request: DataRequest) -> SeenLabels:
    """Return the label ranges of a task from its list files, without opening images.

    Raises:
        UserError: the folder or a list is missing, or a list or the manifest is malformed.
    """
    folder = task_folder(request)
    ranges = {}
    for split in request.splits:
        found = read_label_split(folder, split, request.classes).labels
        counts = Counter(label for labels in found for label in labels)
        rarest = min(counts.items(), key=lambda item: item[::-1], default=None)
        least, most = min(counts, default=None), max(counts, default=None)
        ranges[split] = LabelRange(len(found), least, most, rarest)
    prepared = prepared_by(folder, request)
    return SeenLabels(ranges, prepared.lineage, prepared.partial)


def load(request: DataRequest) -> TaskData:
    """Return the splits of a task that it asks for.

    Raises:
        UserError: the folder, a list or an image is missing, or a list or manifest is malformed.
    """
    from hydra_peft.data.images import load_label_split
    from hydra_peft.data.task_data import TaskData

    folder = task_folder(request)
    splits = {split: load_label_split(folder, split, request) for split in request.splits}
    prepared = prepared_by(folder, request)
    return TaskData(
        splits, prepared.lineage, prepared.partial, prepared.notes, classes=prepared.classes
    )
