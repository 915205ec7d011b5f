"""Prepared data on disk: list files and images, the layout of the community's VTAB-1k archives.

``<folder>/{train800,val200,train800val200,test}.txt`` name images below the task's folder, as
NOAH's script (ZhangYuanhan-AI/NOAH, ``data/vtab-source``) and ``scripts/prepare_data.py`` write
them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hydra_peft.data.list_files import read_split, task_folder
from hydra_peft.data.manifests import prepared_by
from hydra_peft.data.overlap import with_two_labels
from hydra_peft.data.promises import LabelRange, SeenLabels
from hydra_peft.data.sources._request import DataRequest
from hydra_peft.errors import UserError
from hydra_peft.plain_text import counted
from hydra_peft.quoting import of_file

if TYPE_CHECKING:
    from hydra_peft.data.task_data import TaskData  # loads torch


def labels_of(request: DataRequest) -> SeenLabels:
    """Return the label ranges of a task from its list files, without opening images.

    Raises:
        UserError: the folder or a list is missing, or a list or the manifest is malformed.
    """
    folder = task_folder(request)
    lists = {split: read_split(folder, split, request.classes).labels for split in request.splits}
    ranges = {split: LabelRange.of(labels) for split, labels in lists.items()}
    prepared = prepared_by(folder, request)
    return SeenLabels(ranges, prepared.lineage, prepared.partial)


def load(request: DataRequest) -> TaskData:
    """Return the splits of a task that it asks for.

    Raises:
        UserError: the folder, a list or an image is missing, a list or manifest is malformed, or
            one file is listed with two labels.
    """
    from hydra_peft.data.images import labelled_files, load_split
    from hydra_peft.data.task_data import TaskData

    folder = task_folder(request)
    splits = {split: load_split(folder, split, request) for split in request.splits}
    if twice := with_two_labels({name: labelled_files(split) for name, split in splits.items()}):
        said = counted(len(twice), "file is", "files are")
        raise UserError(
            f"dataset {request.name}: {said} listed with two labels, such as "
            f"{of_file(twice[0])}: mend the lists (scripts/check_data.py says more)."
        )
    prepared = prepared_by(folder, request)
    return TaskData(
        splits, prepared.lineage, prepared.partial, prepared.notes, classes=prepared.classes
    )
