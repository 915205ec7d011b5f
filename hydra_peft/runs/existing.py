"""The decision about an existing run: whether it is new, done, to resume, failed, of other data."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum, auto
from pathlib import Path
from typing import TYPE_CHECKING

from hydra_peft.config.identity import config_id
from hydra_peft.errors import UserError
from hydra_peft.plain_text import in_one_line
from hydra_peft.runs.folder import check_no_links, holds_record, run_folder, unlabelled
from hydra_peft.runs.record import Record, read_record

if TYPE_CHECKING:
    from hydra_peft.backbones.backbones import Weights
    from hydra_peft.config.schema import RunConfig


class State(Enum):
    """State of an existing run's folder (new, done, to resume, failed, of other data), with the
    reason."""

    NEW = auto()  # nothing is there
    DAMAGED = auto()  # to be done anew: its record cannot be read
    RESUME = auto()  # it was interrupted
    DONE = auto()  # taken as it is
    RERUN = auto()  # done, to be done anew: sweep.on_existing=rerun
    FAILED = auto()  # it failed or diverged, and is taken as it is
    RETRY = auto()  # it failed or diverged, to be done anew: sweep.retry, or other data


#: by a record's status, where nothing is asked for again
LEFT = {
    "completed": State.DONE,
    "running": State.RESUME,
    "interrupted": State.RESUME,
    "failed": State.FAILED,
    "diverged": State.FAILED,
}


@dataclass(frozen=True)
class Existing:
    """The decision about a run.

    Attributes:
        state: what is to be done.
        record: what the folder holds; None where it holds none that can be read.
    """

    state: State
    record: Record | None = None

    @property
    def stays(self) -> bool:
        """Whether the run is taken as it is."""
        return self.state in (State.DONE, State.FAILED)


def decide(config: RunConfig, folder: Path, data: Callable[[], str]) -> Existing:
    """Decide what is to be done about the run that ``config`` describes; nothing is written.

    Args:
        folder: see :func:`folder_of`.
        data: gives the hash of the data of now; called only where a run would be taken as it is.

    Raises:
        UserError: the run is complete and ``sweep.on_existing=error``, or it was made on other
            data; or the folder is a link, or holds another run than its name says.
    """
    check_no_links(Path(config.paths.runs), folder)
    if not holds_record(folder):
        return Existing(State.NEW)
    try:
        record = read_record(folder)
    except UserError:
        return Existing(State.DAMAGED)
    _check_own(record, folder, config)
    left = LEFT[record.status]
    if left is State.DONE:
        return Existing(_of_completed(record, config, folder, data), record)
    if left is State.FAILED and not _failed_stays(record, config, data):
        return Existing(State.RETRY, record)
    return Existing(left, record)


def retry_of(record: Record) -> str:
    """Return the ``sweep.retry`` that starts a run again that failed or diverged."""
    return "failed" if record.status == "failed" else "all"


def _of_completed(
    record: Record, config: RunConfig, folder: Path, data: Callable[[], str]
) -> State:
    if config.sweep.on_existing == "rerun":
        return State.RERUN
    if config.sweep.on_existing == "error":
        raise UserError(f"{folder} holds this very run already (sweep.on_existing=error).")
    before, now = str(record.data.get("sha256")), data()
    if before != now:
        raise UserError(
            f"{folder} holds this run on other data (sha256 {before[:12]}) than there is now "
            f"({now[:12]}): set sweep.on_existing=rerun or another paths.runs."
        )
    return State.DONE


def _failed_stays(record: Record, config: RunConfig, data: Callable[[], str]) -> bool:
    if config.sweep.retry in (retry_of(record), "all"):
        return False
    before = record.data.get("sha256")
    # A run that failed before it had read its data names none.
    return before is None or before == data()


def _check_own(record: Record, folder: Path, config: RunConfig) -> None:
    """Check that ``record`` is of the run whose folder it lies in: folders get copied and renamed.

    Raises:
        UserError: it is of another run, or on other weights.
    """
    weights = str(record.weights.get("sha256", ""))
    if record.config_id != config_id(config) or not folder.name.endswith(f"-{weights[:8]}"):
        raise UserError(
            f"{folder} holds another run than its name says, {in_one_line(record.config_id)} on "
            f"weights {in_one_line(weights[:8])}: move that folder elsewhere."
        )


def folder_of(config: RunConfig, weights: Weights) -> Path:
    """Return the folder of the run that ``config`` describes, on these weights."""
    return run_folder(
        Path(config.paths.runs),
        benchmark=config.dataset.benchmark,
        task=config.dataset.name,
        method=config.method.label.replace(" ", "-"),
        seed=config.seed,
        id=config_id(config),
        weights=weights.sha256,
    )


def found_folder(config: RunConfig, weights: Weights) -> Path:
    """Return the folder that counts of those that hold the run that ``config`` describes, whatever
    a search chose for it; :func:`folder_of` where there is none."""
    return folders_of(config, weights)[0]


def folders_of(config: RunConfig, weights: Weights) -> list[Path]:
    """Return the folders of the run that ``config`` describes, by whatever choice of its search.

    Links and folders whose record cannot be read are among them.

    Returns:
        At least one, the one that counts first: see :func:`precedence`.
    """
    folder = folder_of(config, weights)
    if not config.chooses:
        return [folder]
    named = folder.parent.glob(f"[!.]*{unlabelled(folder.name)}")
    found = [one for one in named if one.is_symlink() or holds_record(one)]
    return sorted(found, key=_precedence_of, reverse=True) or [folder]


#: what orders the folders of one run: the greatest counts
Precedence = tuple[bool, datetime]
NEVER: Precedence = (False, datetime.min.replace(tzinfo=timezone.utc))


def precedence(record: Record) -> Precedence:
    """Return what says which of several folders of one run counts: the greatest.

    A completed one comes before all others, then the one begun last.
    """
    return record.status == "completed", record.begun


def _precedence_of(folder: Path) -> tuple[Precedence, bool, Path]:
    """Return the precedence of a folder: without a readable record of its own after all others,
    links first, since nothing can be done before they are gone."""
    linked, found = folder.is_symlink(), NEVER
    with suppress(UserError):
        found = NEVER if linked else precedence(read_record(folder))
    return found, linked, folder


def left_over(folder: object, counting: object) -> str:
    """Return a sentence about a ``folder`` that did not complete, beside the one that counts."""
    return (
        f"{folder} did not complete and is left over beside {counting}, the same run by another "
        "choice of its search, which is the one that counts: delete it, unless "
        "sweep.on_existing=rerun shall go on with it."
    )
