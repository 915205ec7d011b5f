"""Record of a job whose process died: failed, with the signal or exit code."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

from hydra_peft.config.identity import config_id
from hydra_peft.config.schema import RunConfig
from hydra_peft.errors import UserError
from hydra_peft.runs.claims import Claimed, claim
from hydra_peft.runs.folder import TUNING, runs_of_task
from hydra_peft.runs.record import read_record, write_record
from hydra_peft.runs.tracking import tell_of_end
from hydra_peft.sweeps.job import Job
from hydra_peft.trackers import Tracker

log = logging.getLogger("hydra_peft")

_WHY = {
    signal.SIGKILL: "killed; out of memory?",
    signal.SIGSEGV: "segmentation fault",
    signal.SIGABRT: "aborted",
    signal.SIGBUS: "bus error; a disk that is full or gone?",
}


def ended_by(code: int) -> str:
    """Describe how a process with exit code ``code``, negative for a signal, ended."""
    if code >= 0:
        return f"the process ended with exit code {code}"
    with contextlib.suppress(ValueError):
        number = signal.Signals(-code)
        return f"the process ended by signal {-code} ({_WHY.get(number, number.name)})"
    return f"the process ended by signal {-code}"


def record_crash(job: Job, sentence: str) -> None:
    """Set the record of the run that ``job`` was doing to ``failed``; its checkpoints stay.

    A run that somebody else does by now, or that had not started, is left alone. A disk that does
    not take it is only warned about: the run then counts as interrupted.
    """
    try:
        config = job.run_config()
        for runs, folder in _folders(config):
            # The claim of a dead process is free; what is alive keeps its own.
            with contextlib.suppress(Claimed), claim(runs, folder):
                _fail(folder, sentence, config.logger)
    except (OSError, UserError) as error:
        log.warning("the record of %s could not be set to failed: %s", job.name, error)


def _fail(folder: Path, sentence: str, trackers: Mapping[str, Tracker]) -> None:
    try:
        record = read_record(folder)
    except UserError:
        return  # it had not come so far
    if record.status == "running":
        failed = dataclasses.replace(record, status="failed", error=sentence)
        write_record(failed, folder)
        tell_of_end(trackers, failed, folder)


def _folders(config: RunConfig) -> Iterator[tuple[Path, Path]]:
    """Give the folders, each with that of all runs, that the job may have been writing to."""
    from hydra_peft.runs.trials import trials_begun

    runs, dataset = Path(config.paths.runs), config.dataset
    for folder in runs_of_task(
        runs,
        benchmark=dataset.benchmark,
        task=dataset.name,
        seed=config.seed,
        id=config_id(config),
    ):
        yield runs, folder
    for folder, _ in trials_begun(config):
        yield runs / TUNING, folder
