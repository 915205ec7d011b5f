"""Plan of a sweep: the action for each job, from its config and its run folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra_peft.backbones.backbones import Weights, check_weights
from hydra_peft.config.schema import RunConfig
from hydra_peft.errors import UserError
from hydra_peft.plain_text import in_one_line
from hydra_peft.runs.assembly import check_model, data_sha256, load_backbone
from hydra_peft.runs.claims import holder
from hydra_peft.runs.existing import Existing, State, decide, folder_of, found_folder, retry_of
from hydra_peft.runs.first_look import check_data, splits_read
from hydra_peft.runs.folder import unlabelled
from hydra_peft.runs.record import FILE, Record
from hydra_peft.runs.search import check_search
from hydra_peft.runs.starting import check_start
from hydra_peft.runs.trials import trials_begun
from hydra_peft.runs.tuning import check_folders, tries
from hydra_peft.sweeps.job import Composition, Job

#: ``new``: to be done; ``done``; ``to_resume``: was interrupted; ``running``: somebody is at it;
#: ``failed``: it failed or diverged before and is not asked for again; ``broken``: it cannot work
STATES = ("new", "done", "to_resume", "running", "failed", "broken")
#: states of jobs that are handed to a launcher
TO_START = ("new", "to_resume", "running")


@dataclass(frozen=True)
class PlannedJob:
    """One job and what is to be done about it.

    Attributes:
        job: its overrides and composed config.
        config: typed; None where the job cannot be composed.
        folder: the run's; None where it is not known: it needs the hash of the weights.
        state: one of :data:`STATES`.
        reason: one sentence, where the state alone does not say it.
        record: what the folder holds, if it holds one that can be read.
        same_as: number of the earlier job of the sweep, counted from 1, that is this very run.
    """

    job: Job
    config: RunConfig | None
    folder: Path | None
    state: str
    reason: str | None = None
    record: Record | None = None
    same_as: int | None = None

    @property
    def starts(self) -> bool:
        """Whether a launcher is to do it."""
        return self.state in TO_START and self.same_as is None


def plan(
    compositions: Sequence[Composition], *, thorough: bool = False, elsewhere: bool = False
) -> list[PlannedJob]:
    """Plan the action for each job of a sweep; nothing is written.

    What jobs share (weights, data, how model and method fit) is looked at once.

    Args:
        compositions: the jobs, in order.
        thorough: look at the weights of the others too although some job cannot work; without it
            their folders and states are not found out then.
        elsewhere: the jobs run on other machines, whose devices are not known here.

    Raises:
        OSError: a folder that cannot be looked into.
    """
    planner = _Planner(elsewhere)
    # First what is quick to find out; weights may have to come over a network.
    planned = [planner.first_look(composition) for composition in compositions]
    if any(p.state == "broken" for p in planned) and not thorough:
        return planned
    return _same_marked([planner.second_look(p) if p.config else p for p in planned])


def _same_marked(planned: list[PlannedJob]) -> list[PlannedJob]:
    seen: dict[Path, int] = {}
    marked = []
    for number, job in enumerate(planned, start=1):
        first = seen.setdefault(job.folder, number) if job.folder else number
        same = first if first != number and job.state != "broken" else None
        reason = f"the same run as job {same}" if same else job.reason
        marked.append(replace(job, same_as=same, reason=reason))
    return marked


class _Once:
    """Does something once for each key; what it gave, a mistake too, is given again."""

    def __init__(self) -> None:
        self._known: dict[Hashable, tuple[Any, UserError | None]] = {}

    def __call__(self, key: Hashable, do: Callable[[], Any]) -> Any:
        if key not in self._known:
            try:
                self._known[key] = (do(), None)
            except UserError as error:
                self._known[key] = (None, error)
        value, mistake = self._known[key]
        if mistake is not None:
            raise mistake
        return value


class _Planner:
    """Looks at jobs; remembers what it has found out."""

    def __init__(self, elsewhere: bool) -> None:
        self._elsewhere = elsewhere
        self._fits, self._there = _Once(), _Once()
        self._weights, self._data, self._names = _Once(), _Once(), _Once()

    def first_look(self, composition: Composition) -> PlannedJob:
        """Find what makes a job without any record impossible, weights aside."""
        job, config = composition.job, composition.config
        if config is None:
            return PlannedJob(job, None, None, "broken", composition.reason)
        try:
            # What was done before fits; that is checked again only if there is no such thing.
            if not self._may_be_there(config):
                self._check_parts(config)
        except UserError as error:
            return PlannedJob(job, config, None, "broken", str(error))
        return PlannedJob(job, config, None, "new")

    def second_look(self, job: PlannedJob) -> PlannedJob:
        """Find the job's folder, and by what it holds the job's state."""
        config = job.config
        if config is None or job.state == "broken":
            return job
        folder: Path | None = None
        try:
            weights = self._weights_of(config)
            folder = found_folder(config, weights)
            existing = decide(config, folder, lambda: self._data_of(config))
            state, reason = _state(config, folder, existing)
            if state == "new" and existing.record is None:
                state, reason = _state_of_search(config, weights, reason)
            if state in TO_START:
                self._check_parts(config)
                check_start(config, weights.sha256)
                self._check_folders(config)
        except UserError as error:
            return replace(job, folder=folder, state="broken", reason=str(error))
        return replace(job, folder=folder, state=state, reason=reason, record=existing.record)

    def _check_parts(self, config: RunConfig) -> None:
        check_search(config.protocol)
        check_start(config)
        # Tasks, seeds and rates do not decide whether the parts fit; models are built to find out.
        parts = repr((config.model, config.head, config.method, config.device))
        self._fits(parts, lambda: check_model(config, elsewhere=self._elsewhere))
        wanted = repr((config.dataset, config.data, config.paths, splits_read(config)))
        self._there(wanted, lambda: check_data(config))

    def _check_folders(self, config: RunConfig) -> None:
        def weights_at(seed: int) -> Weights:
            return self._weights_of(replace(config, seed=seed))

        check_folders(config, weights_at, self._data_of)

    def _may_be_there(self, config: RunConfig) -> bool:
        """Whether a folder has this run's id in its name, on whatever weights."""
        beginning = folder_of(config, Weights("", "", ""))
        names = self._names(beginning.parent, lambda: _names_in(beginning.parent))
        if config.chooses:  # the label in the name says what
            return any(unlabelled(beginning.name) in name for name in names)
        return any(name.startswith(beginning.name) for name in names)

    def _weights_of(self, config: RunConfig) -> Weights:
        model = config.model
        seed = None if model.pretrained else config.seed
        shape = (model.architecture, model.arguments, model.image_size, model.antialias)
        places = (model.checkpoint, model.hub, model.tokenizer)
        key = repr((*shape, *places, model.pretrained, seed))
        weights: Weights = self._weights(key, lambda: _weights(config))
        return weights

    def _data_of(self, config: RunConfig) -> str:
        splits = splits_read(config)
        key = repr((config.dataset, config.data, config.paths.data, config.paths.cache, splits))
        sha256: str = self._data(key, lambda: data_sha256(config))
        return sha256


def _weights(config: RunConfig) -> Weights:
    model = config.model
    if model.pretrained:
        check_weights(model.architecture, **model.backbone)  # headers first: files are large
    return load_backbone(model, config.seed)[1]


def _names_in(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def _state(config: RunConfig, folder: Path, existing: Existing) -> tuple[str, str | None]:
    """Return a job's state by what its folder holds, and why where that needs saying."""
    if existing.state is State.DONE:
        return "done", None
    if existing.state is State.RERUN:
        return "new", "done before, sweep.on_existing=rerun"
    at_it = holder(Path(config.paths.runs), folder)
    if at_it is not None:
        return "running", str(at_it)
    if existing.state is State.DAMAGED:
        return "new", f"its {FILE} is damaged or contradicted; what is there is set aside"
    record = existing.record
    if record is None:
        return "new", None
    if existing.state is State.RESUME:
        return "to_resume", None
    if existing.state is State.RETRY:
        return "new", f"again after it {_past(record)}"
    return "failed", f"it {_past(record)}; sweep.retry={retry_of(record)} starts it again"


def _state_of_search(
    config: RunConfig, weights: Weights, reason: str | None
) -> tuple[str, str | None]:
    """Return the state of a job that has not begun by what its search, if any, came to."""
    if not config.chooses:
        return "new", reason
    begun = [record for _, record in trials_begun(config)]
    trials = [trial for trial in begun if trial.weights.get("sha256") == weights.sha256]
    failed = next((trial for trial in trials if trial.status == "failed"), None)
    if failed is not None and config.sweep.retry == "none":
        told = f"a run of its search ({in_one_line(failed.config_id)}) {_past(failed)}"
        return "failed", f"{told}; sweep.retry=failed starts it again"
    diverged = [trial for trial in trials if trial.status == "diverged"]
    if len(trials) == len(diverged) >= tries(config) and config.sweep.retry != "all":
        told = f"all {len(trials)} runs of its search diverged"
        return "failed", f"{told}; sweep.retry=all starts them again"
    return "new", reason


def _past(record: Record) -> str:
    verb = "failed" if record.status == "failed" else record.status
    cause = in_one_line(" ".join((record.error or "").split())).rstrip(".")
    return f"{verb} ({cause})" if cause else verb
