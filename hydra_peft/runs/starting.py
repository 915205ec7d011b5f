"""The start of a run from the trained adapter of another one (``init_from=<run folder>``).

The adapter is taken, the head is fresh: so GLUE's small tasks start from MNLI. A LoRA that the peft
library saved is such a start too. No torch is loaded.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from hydra_peft.adapters.initializers import PISSA
from hydra_peft.config.benchmarks import find_benchmark
from hydra_peft.config.identity import config_id, settings_id
from hydra_peft.config.schema import InitFrom, RunConfig
from hydra_peft.errors import UserError, WaitsForRun, did_you_mean, placed
from hydra_peft.files import sha256_of
from hydra_peft.methods import method_class
from hydra_peft.plain_text import in_one_line
from hydra_peft.plugins import check_origins
from hydra_peft.runs.alike import (
    Origin,
    check_fits,
    check_one_shape,
    differing,
    differing_in_words,
    distance,
)
from hydra_peft.runs.folder import ADAPTER, check_run_folder, runs_of_task
from hydra_peft.runs.peft_start import PEFT, check_peft_start, is_peft_folder, origin_of_peft
from hydra_peft.runs.record import FILE, Record, read_record

#: keys of what a fresh adapter alone has: one that a run starts from is past it
OF_FRESH = ("method.init",)


def origin_of_start(folder: str) -> InitFrom:
    """Return the identity of the run in ``folder``, whose adapter another run starts from.

    Raises:
        UserError: there is no run, or it did not complete; or it has no adapter to start from.
    """
    path = Path(os.path.abspath(os.path.expanduser(folder)))
    with placed(f"init_from={in_one_line(folder)}:"):
        if is_peft_folder(path):
            return origin_of_peft(path)
        record = _record(path)
        saved = record.adapter or _hash(path / ADAPTER[1])  # older code recorded none
    return InitFrom(
        folder=str(path),
        config_id=record.config_id,
        adapter=saved,
        task=f"{record.benchmark}/{record.task}",
        settings=settings_id(record.settings),
    )


def start_of_task(config: RunConfig, task: str) -> InitFrom | None:
    """Return the start of ``init_from=task:<task>``: the run of that task that is like ``config``.

    It has its benchmark, protocol, seed, method and backbone; of several the one whose settings
    differ in the fewest keys, so that each row of a sweep starts from its own, then the one begun
    last. None of a method that has no adapter: it starts from the pretrained backbone.

    Raises:
        WaitsForRun: there is none that is complete.
    """
    if config.method.trains_backbone or config.method.name == "linear":
        return None
    benchmark, runs = config.dataset.benchmark, Path(config.paths.runs)
    if task == config.dataset.name:
        raise UserError(
            f"init_from=task:{in_one_line(task)} is the task that this run trains: set "
            "init_from=null for it, or name the folder of the run to go on from."
        )
    if config.protocol.tune and config.choosing_seed != config.seed:
        raise UserError(
            f"protocol.tune_seed={config.choosing_seed} shares one search between seeds, and "
            f"init_from=task:{in_one_line(task)} starts each of them from another run: leave it "
            "out, or name the folder of one run."
        )
    check_one_shape(config)
    fitting, refused = _runs_to_start_from(config, f"{benchmark}/{task}")
    if not fitting:
        if (known := find_benchmark(benchmark).tasks) and task not in known:
            raise UserError(
                f"init_from=task:{in_one_line(task)} names no task of {benchmark}"
                f"{did_you_mean(task, known)}: it must be one of {', '.join(known)}."
            )
        raise WaitsForRun(
            f"init_from=task:{task} starts from the run of {benchmark}/{task} with "
            f"{config.method.label}, protocol {config.protocol.name} and seed {config.seed}, and "
            f"{in_one_line(str(runs))} has none that is complete{refused}: do that one "
            "first, or set init_from=null.",
            f"{benchmark}/{task}",
            config,
        )
    ranked = [
        (-distance(config, Origin.of_record(record)), record.begun, folder)
        for folder, record in fitting
    ]
    return origin_of_start(str(max(ranked)[-1]))


def _runs_to_start_from(config: RunConfig, task: str) -> tuple[list[tuple[Path, Record]], str]:
    """Return the complete runs of ``task`` from which a run may start, and why one that is complete
    does not fit, in brackets."""
    fitting, refused = [], ""
    benchmark, _, name = task.partition("/")
    runs = Path(config.paths.runs)
    for folder in runs_of_task(runs, benchmark=benchmark, task=name, seed=config.seed):
        with suppress(UserError):
            record = _record(folder)
            if record.protocol != config.protocol.name:
                continue
            try:
                check_fits(config, Origin.of_record(record))
            except UserError as error:
                refused = f" (of one that is: {str(error).rstrip('.')})"
            else:
                fitting.append((folder, record))
    return fitting, refused


def nearest_of(config: RunConfig, jobs: Sequence[RunConfig]) -> list[int]:
    """Return the places of those of ``jobs`` whose run's adapter a run is to start from: they fit,
    and their settings differ the least from its own.

    Args:
        config: of the run.
        jobs: of the same sweep.
    """
    lengths = {}
    for place, job in enumerate(jobs):
        if (job.seed, job.protocol.name) == (config.seed, config.protocol.name):
            with suppress(UserError):
                check_fits(config, Origin.of_config(job))
                lengths[place] = len(differing(config, Origin.of_config(job)))
    least = min(lengths.values(), default=0)
    return [place for place, length in lengths.items() if length == least]


def start_done(config: RunConfig) -> InitFrom | None:
    """Return the start that the run of ``config`` is, None where it is not complete."""
    dataset, identity = config.dataset, config_id(config)
    runs = Path(config.paths.runs)
    for folder in runs_of_task(
        runs, benchmark=dataset.benchmark, task=dataset.name, seed=config.seed
    ):
        with suppress(UserError):
            if _record(folder).config_id == identity:
                return origin_of_start(str(folder))
    return None


def short_start(config: RunConfig) -> str:
    """Return a sentence where a run starts from one that was not trained by its whole recipe, or
    with other settings than its own."""
    if config.init_from is None or config.init_from.config_id == PEFT:
        return ""
    record = _record(Path(config.init_from.folder))
    epochs = record.science.get("train", {}).get("epochs")
    said = []
    if record.settings.get("train.epochs") not in (None, "recipe"):
        said.append(f"for {epochs} epochs, which is not its recipe's number")
    if record.data.get("partial"):
        said.append("on a part of its data")
    if other := differing_in_words(config, Origin.of_record(record)):
        said.append(f"with {other}")
    if not said:
        return ""
    return (
        f"the run of {config.init_from.task} that this one starts from was trained "
        f"{' and '.join(said)}: say so beside this one's score"
    )


def check_start(config: RunConfig, weights: str | None = None) -> None:
    """Check that a run can start from the adapter that ``init_from`` names, where it does.

    Args:
        config: of the run.
        weights: sha256 of its backbone's weights, where they are loaded.

    Raises:
        UserError: the adapter is not there any more or was changed since; or it is of another
            backbone, other weights or another method, or has other ranks or targets.
    """
    start = config.init_from
    if start is None:
        return
    folder = Path(start.folder)
    with placed(f"init_from={in_one_line(start.folder)}:"):
        if start.config_id == PEFT:
            check_peft_start(config, start)
            return
        record = _record(folder)
        if _hash(folder / ADAPTER[1]) != start.adapter or record.config_id != start.config_id:
            raise UserError(
                f"{ADAPTER[1]} there is not what that run saved (sha256 {start.adapter[:12]}): "
                "changed since, or of another run?"
            )
        check_fits(config, Origin.of_record(record))
        trained_on = str(record.weights.get("sha256"))
        if weights not in (None, trained_on):
            raise UserError(
                f"that adapter was trained on other weights of {record.model} (sha256 "
                f"{trained_on[:12]}) than this run's ({str(weights)[:12]}): start from a run on "
                "the same weights."
            )


def is_past(config: RunConfig) -> bool:
    """Whether a run starts from an adapter for which :data:`OF_FRESH` decides nothing: one that
    PiSSA began has tensors of its own."""
    return config.init_from is not None and vars(config.method).get("init") != PISSA


def _record(folder: Path) -> Record:
    """Return the record of the completed run in ``folder``, which has an adapter."""
    check_run_folder(folder)
    status = (folder / FILE).stat()
    record = _read(folder, status.st_mtime_ns, status.st_size)
    if record.status != "completed":
        raise UserError(f"that run is {record.status}: complete it first.")
    for name in ADAPTER:
        if not (folder / name).is_file():
            raise UserError(f"that run has no {name}: there is nothing to start from.")
    try:
        method = method_class(str(record.method.get("name")))
    except UserError:
        check_origins(record.science.get("plugins"), "that run")
        raise
    if method.trains_backbone or not record.parameters["adapter"]:
        raise UserError(
            f"that run's method, {record.method_label}, has no adapter: start from a run of a "
            "method that has one, such as method=hydra."
        )
    return record


@functools.lru_cache(maxsize=64)  # jobs of a sweep start from few
def _read(folder: Path, _time: int, _size: int) -> Record:
    return read_record(folder)


def _hash(path: Path) -> str:
    try:
        status = path.stat()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}.") from None
    return _hashed(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=64)
def _hashed(path: Path, _time: int, _size: int) -> str:
    return sha256_of(path)
