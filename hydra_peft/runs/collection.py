"""The runs below a folder, completed or not, and what is wrong with what cannot be read."""

from __future__ import annotations

import re
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hydra_peft.errors import UserError
from hydra_peft.links import missing
from hydra_peft.runs.existing import left_over
from hydra_peft.runs.folder import ADAPTER, find_runs, unlabelled
from hydra_peft.runs.record import Record, read_record
from hydra_peft.runs.seal import without_seal
from hydra_peft.sweeps.liveness import Liveness

if TYPE_CHECKING:
    from hydra_peft.tables.overrides import Defaults

#: what a run is whose record says ``running`` while nobody alive does it
KILLED = "killed"
#: runs left out that a refusal names
_NAMED = 3


@dataclass(frozen=True)
class FoundRun:
    """One run: its folder and what its ``result.json`` says."""

    folder: Path
    record: Record

    @property
    def adapter_size(self) -> int:
        """Bytes of its adapter's tensors on disk; 0 where no regular file of its own is there."""
        try:
            found = (self.folder / ADAPTER[1]).lstat()
        except OSError:
            return 0
        return found.st_size if stat.S_ISREG(found.st_mode) else 0


@dataclass(frozen=True)
class Collection:
    """Collection of runs for tables, figures and reports.

    Attributes:
        completed: one run each identity (config_id, weights, data), the latest.
        others: runs that failed, were interrupted, diverged or are not over.
        killed: folders of those of them whose record says ``running``, and that nobody does.
        reading: one sentence for each thing that reading them found.
        defaults: what settings are by default, so that labels name those that are otherwise; None
            where that is not to be looked at. Not read here: ``conf`` is the command line's.
        benchmarks: config roots that have benchmarks beside those of ``conf``.
        unwanted: records of completed runs that a choice left out, each with its words.
        unread: of ``reading`` what was not read, so that nobody knows which runs are there.
    """

    completed: list[FoundRun]
    others: list[FoundRun]
    reading: list[str]
    killed: frozenset[Path] = frozenset()
    defaults: Defaults | None = None
    benchmarks: Sequence[Path] = ()
    unwanted: Sequence[tuple[Record, str]] = ()
    unread: Sequence[str] = ()

    @property
    def records(self) -> list[Record]:
        """Records of the completed runs."""
        return [run.record for run in self.completed]

    @property
    def warnings(self) -> list[str]:
        """One sentence for each thing that a reader of its completed runs should know."""
        if not self.others:
            return self.reading
        statuses = Counter(
            KILLED if run.folder in self.killed else run.record.status for run in self.others
        )
        counts = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()))
        return [*self.reading, f"runs that did not complete are left out: {counts}."]

    def only(self, wanted: Callable[[Record], bool]) -> Collection:
        """Return it with the runs alone, completed or not, whose records are ``wanted``."""
        completed = [run for run in self.completed if wanted(run.record)]
        others = [run for run in self.others if wanted(run.record)]
        return replace(self, completed=completed, others=others)

    @contextmanager
    def naming_unread(self, wanted: Iterable[str] = ()) -> Iterator[None]:
        """Let a refusal inside the context name what was not read: it may be what is missed.

        Args:
            wanted: what was asked for, such as ``digits,cells``: runs in whose folders' names it is
                are named first.

        Raises:
            UserError: one was raised.
        """
        try:
            yield
        except UserError as error:
            more = len(self.unread) - _NAMED
            rest = [f"{more} more are left out."] * (more > 0)
            asked = {name for text in wanted for name in re.findall(r"\w+", text)}
            named = sorted(self.unread, key=lambda said: -len(asked & {*re.findall(r"\w+", said)}))
            raise UserError(" ".join([str(error), *named[:_NAMED], *rest])) from None


def collect(runs: Path, *, may_be_empty: bool = False) -> Collection:
    """Read every record below ``runs``; a run met twice counts once, the later one.

    Args:
        runs: where the run folders are.
        may_be_empty: whether no run at all is a warning instead of a mistake.

    Raises:
        UserError: ``runs`` does not exist or holds no run.
    """
    unread, warnings = list[str](), list[str]()
    folders = find_runs(runs, unread) if runs.is_dir() else []
    if not folders:
        said = f"{runs} holds no run" if runs.is_dir() else missing(runs, "is not a folder")
        first = "train something first"
        if unread:  # what is in there is not known
            said = f"{runs} holds no run that you may read"
            first = "let what is named be read by you"
        sentence = f"{said}: {first}, or say where with runs=."
        if may_be_empty:
            return Collection([], [], [*unread, sentence])
        raise UserError(" ".join([*unread, sentence]))
    kept: dict[tuple[str, str, str], FoundRun] = {}
    others: list[FoundRun] = []
    unsealed: list[Path] = []
    for folder in folders:
        try:
            run = FoundRun(folder, read_record(folder, unsealed=unsealed))
        except UserError as error:
            unread.append(f"left out: {error}")
            continue
        record = run.record
        if record.status != "completed":
            others.append(run)
            continue
        twin = kept.get(record.same)
        if twin is not None:
            warnings.append(
                f"{record.task} ({record.method_label}, seed {record.seed}) is there twice, as "
                f"{twin.folder} and {folder}: the later of the two counts."
            )
        if twin is None or twin.record.begun <= record.begun:
            kept[record.same] = run
    warnings += without_seal(unsealed)
    killed = _killed(runs, others, warnings)
    others = _without_left_over(others, killed, [*kept.values()], warnings)
    return Collection([*kept.values()], others, [*unread, *warnings], killed, unread=unread)


def _without_left_over(
    others: Sequence[FoundRun],
    killed: frozenset[Path],
    completed: Sequence[FoundRun],
    warnings: list[str],
) -> list[FoundRun]:
    """Return ``others`` without those that another choice of their search completed meanwhile:
    to type their command again does nothing for them."""
    counting = {unlabelled(str(run.folder)): run.folder for run in completed}
    left = []
    for run in others:
        alive = run.record.status == "running" and run.folder not in killed
        counts = counting.get(unlabelled(str(run.folder))) if run.record.tuning else None
        if counts is None or alive:
            left.append(run)
        else:
            warnings.append(left_over(run.folder, counts))
    return left


def _killed(runs: Path, others: Sequence[FoundRun], warnings: list[str]) -> frozenset[Path]:
    """Return the folders of runs that say that they are running, and that nobody alive does.

    A run that has ended since its record was read was not killed, and one of which it cannot be
    told, which is a warning, may be alive.
    """
    liveness, found = Liveness(), set[Path]()
    for folder in (run.folder for run in others if run.record.status == "running"):
        try:
            if not liveness.host(runs, folder) and read_record(folder).status == "running":
                found.add(folder)
        except UserError as error:
            warnings.append(str(error))
    return frozenset(found)
