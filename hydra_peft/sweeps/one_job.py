"""One job from its composed config to its end, in this process."""

from __future__ import annotations

import atexit
import gc
import json
import traceback

import torch
from omegaconf import DictConfig, OmegaConf

from hydra_peft.config.check import check_config
from hydra_peft.config.resolvers import register_resolvers
from hydra_peft.config.schema import RunConfig
from hydra_peft.disk_errors import disk_sentence
from hydra_peft.errors import UserError
from hydra_peft.runs.assembly import check_data, check_model
from hydra_peft.runs.claims import Claimed, ClaimLost
from hydra_peft.runs.run import Outcome
from hydra_peft.runs.tuning import run_protocol
from hydra_peft.sweeps.job import ElsewhereRun, Job, JobEnd
from hydra_peft.sweeps.lines import describe, speed

#: models with methods that have been found to fit each other
_fitting: set[str] = set()
#: not empty once what the first job has loaded is out of the collector's sight
_frozen: list[bool] = []


def do_job(job: Job) -> JobEnd:
    """Do ``job`` and say what became of it.

    A job that fails gives an end that says so, and of a bug the traceback on stderr: the next one
    can be done.

    Raises:
        OSError: the disk takes nothing more, or who read our output has left; no later job can do
            better.
        KeyboardInterrupt, SystemExit: as they come.
    """
    register_resolvers()
    try:
        return _end_of(job, perform(OmegaConf.create(json.loads(job.config))))
    except Claimed as error:
        return _claimed(job, error)
    except ClaimLost:
        # This process was held up for so long that somebody else has taken the run over.
        return do_job(job)
    except Exception as error:
        if isinstance(error, BrokenPipeError):
            raise
        if isinstance(error, OSError) and disk_sentence(error) is not None:
            raise
        if not isinstance(error, UserError):
            traceback.print_exc()  # a bug, not a mistake: whoever mends it needs this
        sentence = str(error) or type(error).__name__
        return JobEnd(job, "failed", f"{job.name}: {sentence}", error=sentence)
    finally:
        _free_memory()


def perform(config: DictConfig) -> Outcome:
    """Check ``config`` and do what it describes.

    Raises:
        UserError: a mistake in it.
        Exception: what ended the run, as it comes; its record says so too.
    """
    checked = check_config(config)
    _check_model_once(checked)
    check_data(checked)
    return run_protocol(checked, OmegaConf.to_yaml(config, resolve=True))


def _check_model_once(config: RunConfig) -> None:
    """Check that model and method fit, which takes as long as a small model's epoch, once a pair.

    Raises:
        UserError: they do not.
    """
    parts = repr((config.model, config.method, config.dataset.classes, config.device))
    if parts not in _fitting:
        check_model(config)
        _fitting.add(parts)


def described(outcome: Outcome) -> str:
    """Return what is printed of ``outcome``: what was run, what it gave, and where it is."""
    record = outcome.record
    done = f"done {record.started}, skipped" if outcome.skipped else speed(record)
    return describe(record, outcome.folder, done)


def _end_of(job: Job, outcome: Outcome) -> JobEnd:
    record = outcome.record
    return JobEnd(
        job,
        record.status,
        described(outcome),
        metric=float(record.metrics["accuracy"]) if record.status == "completed" else None,
        error=record.error,
    )


def _claimed(job: Job, error: Claimed) -> JobEnd:
    process = error.holder.process if error.holder is not None else None
    run = ElsewhereRun(
        str(error.runs), str(error.folder), process.host if process is not None else "another one"
    )
    return JobEnd(job, "claimed", f"{job.name}: {error}", error=str(error), elsewhere=run)


def _free_memory() -> None:
    """Give back what a job left: models whose parts refer to each other go only so."""
    gc.collect()
    if not _frozen:
        _frozen.append(True)
        # What is alive after the first job are modules and caches: later collections pass them by.
        gc.freeze()
        # Libraries find leaks at exit in what is hidden from collection.
        atexit.register(gc.unfreeze)
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
