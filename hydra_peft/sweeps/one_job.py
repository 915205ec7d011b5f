"""One job from its checked config to its end, in this process."""

from __future__ import annotations

import atexit
import functools
import gc
import traceback

import torch

from hydra_peft.config.schema import RunConfig
from hydra_peft.disk_errors import disk_sentence, takes_no_more
from hydra_peft.errors import UserError
from hydra_peft.memory_errors import memory_sentence
from hydra_peft.runs.assembly import check_model
from hydra_peft.runs.claims import Claimed
from hydra_peft.runs.first_look import check_data
from hydra_peft.runs.ledger import TakenOver
from hydra_peft.runs.outcome import Outcome
from hydra_peft.runs.shared import Shared
from hydra_peft.runs.tuning import run_protocol
from hydra_peft.sweeps.job import ElsewhereRun, Job, JobEnd
from hydra_peft.sweeps.lines import describe, speed


def do_job(job: Job, shared: Shared | None = None) -> JobEnd:
    """Do ``job`` and say what became of it.

    A job that fails gives an end that says so, and of a bug the traceback on stderr: the next one
    can be done.

    Args:
        shared: of runs in turn in this process.

    Raises:
        OSError: the disk takes nothing more, or who read our output has left; no later job can do
            better.
        KeyboardInterrupt, SystemExit: as they come.
    """
    try:
        return _end_of(job, perform(job.run_config(), shared))
    except Claimed as error:
        return _claimed(job, error)
    except TakenOver:
        return do_job(job, shared)  # whoever does it now is waited for
    except Exception as error:
        if isinstance(error, BrokenPipeError):
            raise
        disk = disk_sentence(error) if isinstance(error, OSError) else None
        if disk is not None and takes_no_more(error):
            raise
        told = disk or memory_sentence(error)
        if told is None and not isinstance(error, UserError):
            traceback.print_exc()  # a bug, not a mistake: whoever mends it needs this
        sentence = told or str(error) or type(error).__name__
        return JobEnd(job, "failed", f"{job.name}: {sentence}", error=sentence)
    finally:
        _free_memory(alone=shared is None)


def perform(config: RunConfig, shared: Shared | None = None) -> Outcome:
    """Check that model and data are there, and do what ``config`` describes.

    Raises:
        UserError: they are not, or do not fit.
        Exception: what ended the run, as it comes; its record says so too.
    """
    check_model(config)
    check_data(config)
    return run_protocol(config, shared)


def described(outcome: Outcome) -> str:
    """Describe ``outcome`` for the terminal: run, score, folder."""
    record = outcome.record
    done = f"done {record.when}, skipped" if outcome.skipped else speed(record)
    return describe(record, outcome.folder, done)


def _end_of(job: Job, outcome: Outcome) -> JobEnd:
    record = outcome.record
    return JobEnd(
        job,
        record.status,
        described(outcome),
        metric=record.score,
        error=record.error,
    )


def _claimed(job: Job, error: Claimed) -> JobEnd:
    process = error.holder.process if error.holder is not None else None
    run = ElsewhereRun(
        str(error.runs), str(error.folder), process.host if process is not None else "another one"
    )
    return JobEnd(job, "claimed", f"{job.name}: {error}", error=str(error), elsewhere=run)


def _free_memory(*, alone: bool) -> None:
    """Give back what a job left: models whose parts refer to each other go only so."""
    gc.collect()
    if alone:  # the models of others that run now are to go later
        _freeze_once()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


@functools.cache
def _freeze_once() -> None:
    # What is alive after the first job are modules and caches: later collections pass them by.
    gc.freeze()
    # Libraries find leaks at exit in what is hidden from collection.
    atexit.register(gc.unfreeze)
