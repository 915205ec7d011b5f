"""Check a run's files, folders and ranks before torch is loaded, which takes seconds.

Nothing here decides that a run can work: :mod:`hydra_peft.runs.assembly` does, with torch.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from hydra_peft.config.schema import (
    DatasetConfig,
    ModelConfig,
    PathsConfig,
    ProtocolConfig,
    RunConfig,
)
from hydra_peft.data.sources import Task
from hydra_peft.data.task_folders import task_folder
from hydra_peft.disk_errors import disk_sentence
from hydra_peft.errors import UserError
from hydra_peft.methods._base import Method
from hydra_peft.methods._low_rank import LowRankMethod
from hydra_peft.models.vit_mini import EMBEDDED
from hydra_peft.models.weight_files import check_weights_exist
from hydra_peft.runs.folder import run_folder
from hydra_peft.runs.search import check_search

#: no linear layer of a vision transformer is wider on both its sides (the widest in timm: 4096)
WIDEST = 16_384


def look_first(config: RunConfig) -> None:
    """Check what makes a run impossible and can be seen without torch.

    Raises:
        UserError: weights or data that are not there, a folder of runs that cannot be written to,
            a rank that no layer has room for, or a package that is needed and missing.
    """
    check_search(config.protocol)
    check_ranks(config.model, config.method)
    if config.model.pretrained:
        check_weights_exist(config.model.architecture, config.model.checkpoint, config.model.url)
    if config.dataset.folder is not None:
        task_folder(task_of(config.dataset, config.paths, splits_read(config.protocol)))
    if not _may_be_done(config):
        check_writable(Path(config.paths.runs))


def check_ranks(model: ModelConfig, method: Method) -> None:
    """Check that no rank exceeds the width of every layer that ``model`` can have.

    Of an embedded model, and where ``model.arguments`` give it, the width is known: every linear
    layer of a transformer's block reads or writes features of that width.

    Raises:
        UserError: one does.
    """
    own = EMBEDDED.get(model.architecture, ("", {}))[1]
    width = model.arguments.get("embed_dim", own.get("embed_dim"))
    widest, whose = (width, "its layers") if type(width) is int else (WIDEST, "the widest of all")
    for rank in method.ranks() if isinstance(method, LowRankMethod) else ():
        if rank > widest:
            raise UserError(
                f"rank {rank} of method '{method.name}' does not fit {model.architecture}: it must "
                f"be at most {widest}, the width of {whose}."
            )


def check_writable(folder: Path) -> None:
    """Check, writing nothing, that ``folder`` can be written to, or made where it is not yet.

    Raises:
        UserError: it cannot, with what is in the way.
    """
    absolute = Path(os.path.abspath(folder))
    for part in (absolute, *absolute.parents):
        if os.path.isdir(part):
            if os.access(part, os.W_OK | os.X_OK):
                return
            reason = errno.EROFS if os.statvfs(part).f_flag & os.ST_RDONLY else errno.EACCES
        elif os.path.lexists(part):
            reason = errno.EEXIST
        else:
            continue
        raise UserError(disk_sentence(OSError(reason, os.strerror(reason), str(part))))


def _may_be_done(config: RunConfig) -> bool:
    """Whether there are runs of this task, method and seed: nothing is written for a done one."""
    label = config.method.label.replace(" ", "-")
    dataset = config.dataset
    beginning = run_folder(
        Path(config.paths.runs),
        benchmark=dataset.benchmark,
        task=dataset.name,
        method=label,
        seed=config.seed,
        id="",
        weights="",
    )
    start = beginning.name.rstrip("-") + "-"
    try:
        return any(name.startswith(start) for name in os.listdir(beginning.parent))
    except OSError:
        return False


def splits_needed(protocol: ProtocolConfig) -> list[tuple[str, str]]:
    """Return the pairs of splits that a run trains on and scores, those of its tuning first."""
    own = (protocol.train_split, protocol.evaluate_split)
    return [("train800", "val200"), own] if protocol.tune else [own]


def splits_read(protocol: ProtocolConfig) -> list[str]:
    """Return every split that a run or its tuning reads: what its record has hashes of."""
    return list(dict.fromkeys(name for pair in splits_needed(protocol) for name in pair))


def task_of(dataset: DatasetConfig, paths: PathsConfig, splits: Sequence[str]) -> Task:
    """Return what a source needs to know to find ``splits`` of a task."""
    return Task(
        benchmark=dataset.benchmark,
        name=dataset.name,
        folder=dataset.folder,
        aliases=tuple(dataset.aliases),
        classes=dataset.classes,
        root=Path(paths.data).expanduser(),
        cache=Path(paths.cache),
        splits=tuple(splits),
    )
