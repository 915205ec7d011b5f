"""Status of all run folders: done, running, to resume, failed, waiting.

Reads files alone, loads neither torch nor Hydra, and takes nothing that it finds on trust: a record
that cannot be read is named and the rest goes on.
"""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from hydra_peft.errors import UserError
from hydra_peft.runs.existing import LEFT, NEVER, Precedence, State, left_over, precedence
from hydra_peft.runs.folder import SUPERSEDED, TUNING, holds_record, run_below, unlabelled
from hydra_peft.runs.record import FILE, read_record
from hydra_peft.runs.seal import without_seal
from hydra_peft.sweeps.announced import (
    MAX_SECONDS,
    SWEEPS,
    AnnouncedJob,
    AnnouncedSweep,
    read_sweep,
)
from hydra_peft.sweeps.epochs import LastEpoch, read_progress
from hydra_peft.sweeps.liveness import Liveness
from hydra_peft.sweeps.remaining import Remaining, what_remains
from hydra_peft.sweeps.rereading import Rereader

#: all of them, in the order in which they are counted
STATES = ("done", "running", "to resume", "failed", "diverged", "waiting")
_STATES = {State.DONE: "done", State.RESUME: "to resume"}
#: runs/benchmark/task/run
_LEVELS = 3
_RUN_NAME = re.compile(r"(?P<method>.+)-seed(?P<seed>\d{1,18})-(?P<id>[0-9a-f]{12})(-|$)")


@dataclass(frozen=True)
class SeenRun:
    """A run that has a record, or that a sweep announced.

    Attributes:
        folder: its folder, relative to the runs.
        state: one of :data:`STATES`.
        task: the benchmark and the task, ``mini/digits``.
        method: the method's short form.
        seed, config_id: the run's.
        started: when, ISO 8601; empty before it starts.
        epochs: how many it shall have; None where the record does not say.
        score: in percent, of a run that is done.
        seconds: what a run that is done took.
        error: what ended it, one sentence.
        progress: the last epoch, of a run that is running or to resume.
        host: the machine that it is running on.
        searching: one of a search for hyper-parameters, no result of its own.
        overrides: of a run without a record, as the sweep announced it.
        same: of one that is done, see :attr:`hydra_peft.runs.record.Record.same`.
        unsealed: its record, where that has no seal.
        tuned: whether a search chose for it, and so the label in its folder's name.
        precedence: see :func:`hydra_peft.runs.existing.precedence`.
    """

    folder: str
    state: str
    task: str
    method: str
    seed: int
    config_id: str
    started: str = ""
    epochs: int | None = None
    score: float | None = None
    seconds: float | None = None
    error: str | None = None
    progress: LastEpoch | None = None
    host: str | None = None
    searching: bool = False
    overrides: str = ""
    same: tuple[str, ...] = ()
    unsealed: Sequence[Path] = ()
    tuned: bool = False
    precedence: Precedence = NEVER

    @property
    def eta(self) -> float | None:
        """Seconds of training left, None where nothing says it."""
        return self._seconds_after(0 if self.progress is None else self.progress.epoch)

    @property
    def whole(self) -> float | None:
        """Seconds that training takes from its first epoch on, None where nothing says it."""
        return self._seconds_after(0)

    def _seconds_after(self, epoch: int) -> float | None:
        if self.progress is None or self.epochs is None:
            return None
        try:
            left = (self.epochs - epoch) * self.progress.seconds
        except OverflowError:  # numbers that nobody trained
            return None
        return left if math.isfinite(left) and left >= 0 else None


@dataclass(frozen=True)
class Snapshot:
    """Snapshot of the run folders at one moment.

    Attributes:
        runs: those with a record in order of their folders, then those that were announced, of the
            newest sweep first.
        warnings: one sentence for each thing that could not be read, paths relative to the runs.
        sweeps: those that are not through, the newest first.
    """

    runs: list[SeenRun]
    warnings: list[str]
    sweeps: Sequence[Remaining] = ()

    def of(self, *states: str) -> list[SeenRun]:
        """Return the runs in these states; of a search's those alone that are running or failed.

        One that failed keeps its job from being done.
        """
        told = ("running", "failed")
        return [
            run
            for run in self.runs
            if run.state in states and (run.state in told or not run.searching)
        ]

    def counts(self, *, searching: bool = False) -> dict[str, int]:
        """Count jobs by state: those of sweeps, or those of searches."""
        counts = Counter(run.state for run in self.runs if run.searching == searching)
        return {state: counts[state] for state in STATES}


class Survey:
    """Looks at the folders below ``runs``, once or again and again.

    What has not changed since the last look is not read again, and claims of other machines that
    no longer beat are noticed.
    """

    def __init__(self, runs: Path) -> None:
        self._runs = runs
        self._record = Rereader(_summary)
        self._sweep = Rereader(read_sweep)
        self._liveness = Liveness()

    def look(self) -> Snapshot:
        """Read the run folders as they are now."""
        warnings: list[str] = []
        begun: set[str] = set()
        seen: list[SeenRun] = []
        done: dict[tuple[str, ...], str] = {}
        for folder, searching in _run_folders(self._runs, warnings):
            relative = os.path.relpath(folder, self._runs)
            try:
                run = self._record(os.path.join(folder, FILE))
            except UserError as error:
                warnings.append(str(error))
                begun.add(relative)
                continue
            if run is not None:
                begun.add(relative)
                run = dataclasses.replace(run, folder=relative, searching=searching)
                twin = done.setdefault(run.same or (relative,), relative)
                if twin != relative and not searching:
                    warnings.append(
                        f"{relative} is the same run as {twin}, and both are counted here: one is "
                        "a copy, or was done elsewhere too."
                    )
                seen.append(self._now(run, warnings))
        warnings += without_seal([path for run in seen for path in run.unsealed])
        counting = _counting(seen, begun)
        seen = _without_left_over(seen, counting, warnings)
        plain = {run.folder for run in seen if not run.tuned}
        sweeps = _as_labelled(self._sweeps(warnings), plain, counting)
        seen += self._not_begun(sweeps, begun, warnings)
        if not seen:
            warnings += _misplaced(self._runs)
        remaining = what_remains(sweeps, {run.folder: run for run in seen})
        shown = [text.replace(f"{self._runs}{os.sep}", "") for text in warnings]
        return Snapshot(seen, shown, remaining)

    def _now(self, run: SeenRun, warnings: list[str]) -> SeenRun:
        """Add to what the record says what changes without it: who does it, how far it is."""
        if run.state not in ("running", "to resume"):
            return run
        host = self._host(run.folder, run.searching, warnings)
        return dataclasses.replace(
            run,
            state="to resume" if host is None else "running",
            host=host,
            error=run.error if host is None else None,
            progress=read_progress(self._runs / run.folder),
        )

    def _not_begun(
        self, sweeps: Sequence[AnnouncedSweep], begun: set[str], warnings: list[str]
    ) -> list[SeenRun]:
        """Return the announced jobs without a record, those that somebody is starting too."""
        found: list[SeenRun] = []
        for sweep in sweeps:
            for job in sweep.jobs:
                if job.folder not in begun:
                    begun.add(job.folder)  # an older sweep may have announced it too
                    found.append(_announced(job, self._host(job.folder, False, warnings)))
        return found

    def _host(self, folder: str, searching: bool, warnings: list[str]) -> str | None:
        """Return the machine that is doing a run, None where nobody is known to."""
        # The runs of a search have a folder of runs of their own.
        runs = self._runs / TUNING if searching else self._runs
        try:
            return self._liveness.host(runs, self._runs / folder)
        except UserError as error:
            warnings.append(str(error))
            return None

    def _sweeps(self, warnings: list[str]) -> list[AnnouncedSweep]:
        """Return the sweeps, the newest first."""
        sweeps: list[AnnouncedSweep] = []
        for entry in _entries(os.path.join(self._runs, SWEEPS), warnings):
            if not entry.name.endswith(".json") or entry.name.startswith("."):
                continue  # a temporary file
            try:
                sweep = self._sweep(entry.path)
            except UserError as error:
                warnings.append(str(error))
                continue
            if sweep is not None:
                sweeps.append(sweep)
        return sorted(sweeps, key=lambda sweep: _moment(sweep.started), reverse=True)


def _counting(seen: Iterable[SeenRun], begun: Iterable[str]) -> dict[str, str]:
    """Return the folder that counts of each tuned run, by the folder without label.

    One that somebody is at before all others, then as :func:`hydra_peft.runs.existing.found_folder`
    has it; of those in ``begun`` that cannot be read, any.
    """
    runs = {run.folder: run for run in seen}
    found = {unlabelled(folder): folder for folder in sorted(begun) if folder not in runs}
    tuned = [run for run in runs.values() if run.tuned]
    for run in sorted(tuned, key=lambda r: (r.state == "running", r.precedence, r.folder)):
        found[unlabelled(run.folder)] = run.folder
    return found


def _without_left_over(
    seen: Iterable[SeenRun], counting: Mapping[str, str], warnings: list[str]
) -> list[SeenRun]:
    """Return ``seen`` without tuned runs that nothing goes on with, since another choice counts."""
    left = []
    for run in seen:
        counts = counting[unlabelled(run.folder)] if run.tuned else run.folder
        if counts == run.folder or run.state in ("done", "running"):
            left.append(run)
        else:
            warnings.append(left_over(run.folder, counts))
    return left


def _as_labelled(
    sweeps: Iterable[AnnouncedSweep], plain: Set[str], counting: Mapping[str, str]
) -> list[AnnouncedSweep]:
    """Return ``sweeps`` with each job in the folder that counts of its run: a search may have
    chosen another label than was announced.

    Args:
        plain: folders of runs that no search chose for: they are where they were announced.
        counting: see :func:`_counting`.
    """

    def found(job: AnnouncedJob) -> AnnouncedJob:
        if job.folder in plain:
            return job
        folder = counting.get(unlabelled(job.folder), job.folder)
        return dataclasses.replace(job, folder=folder)

    return [dataclasses.replace(s, jobs=tuple(map(found, s.jobs))) for s in sweeps]


def _run_folders(runs: Path, warnings: list[str]) -> Iterator[tuple[str, bool]]:
    """Yield the folders that may be runs, and whether they are those of a search.

    Links to folders are not followed, as in :func:`hydra_peft.runs.folder.find_runs`: what they
    lead to is no part of these runs, or would be met twice.
    """
    searches = os.path.join(runs, TUNING)
    for folder in _below(str(runs), _LEVELS, warnings, leave_out=searches):
        yield folder, False
    for folder in _below(searches, _LEVELS, warnings):
        yield folder, True


def _misplaced(runs: Path) -> list[str]:
    """Return a sentence where ``runs`` is a run, or holds some at another level than ours."""
    whole = Path(os.path.abspath(runs))
    # Those below first: a record may have strayed into a folder above them.
    run = run_below(whole) or (str(whole) if holds_record(whole) else None)
    above = whole if run is None else Path(run).parents[_LEVELS - 1]
    if above == whole:
        return []
    return [
        f"runs={runs} is not the folder that holds <benchmark>/<task>/<run>, so nothing is counted:"
        f" of {run} it is {above}."
    ]


def _below(
    folder: str, levels: int, warnings: list[str], leave_out: str | None = None
) -> Iterator[str]:
    if not levels:
        yield folder
        return
    for entry in _entries(folder, warnings):
        hidden = entry.name.startswith(".") or SUPERSEDED in entry.name
        if not hidden and entry.path != leave_out and entry.is_dir(follow_symlinks=False):
            yield from _below(entry.path, levels - 1, warnings)


def _entries(folder: str, warnings: list[str]) -> list[os.DirEntry[str]]:
    """Return the entries of ``folder`` by name; empty where there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except FileNotFoundError:
        return []
    except OSError as error:
        warnings.append(f"cannot look into {folder}: {error.strerror or error}.")
        return []


def _summary(path: Path) -> SeenRun:
    """Return the line that status shows of the record in ``path``.

    Raises:
        UserError: it is damaged or of another schema.
    """
    unsealed: list[Path] = []
    record = read_record(path.parent, unsealed=unsealed)
    train = record.science.get("train")
    epochs = train.get("epochs") if isinstance(train, dict) else None
    left = LEFT[record.status]
    seconds = record.times.get("total") if record.status == "completed" else None
    return SeenRun(
        folder="",
        # Whether a running one is to be resumed, its claim says.
        state=record.status if left is State.FAILED else _STATES[left],
        task=f"{record.benchmark}/{record.task}",
        method=record.label,
        seed=record.seed,
        config_id=record.config_id,
        started=record.started,
        epochs=epochs if type(epochs) is int else None,
        score=record.score,
        seconds=seconds if seconds is not None and 0 < seconds < MAX_SECONDS else None,
        error=record.error,
        same=record.same if record.status == "completed" else (),
        unsealed=unsealed,
        tuned=bool(record.tuning),
        precedence=precedence(record),
    )


def _announced(job: AnnouncedJob, host: str | None) -> SeenRun:
    """Return a run without a record; its folder's name says what it will be."""
    parent, name = os.path.split(job.folder)
    match = _RUN_NAME.match(name)
    return SeenRun(
        folder=job.folder,
        state="waiting" if host is None else "running",
        task=parent,
        method=match["method"].replace("-", " ") if match else name,
        seed=int(match["seed"]) if match else 0,
        config_id=match["id"] if match else "",
        host=host,
        overrides=job.overrides,
    )


def _moment(text: str) -> float:
    """Return the seconds since 1970 of a time in ISO 8601; 0 where it is none."""
    try:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=timezone.utc)).timestamp()
    except (ValueError, OverflowError):
        return 0.0
