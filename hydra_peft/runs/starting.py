"""The start of a run from the trained adapter of another one (``init_from=<run folder>``).

The adapter is taken, the head is fresh: so GLUE's small tasks start from MNLI. A LoRA that the peft
library saved is such a start too. No torch is loaded.
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from hydra_peft.adapters.initializers import PISSA
from hydra_peft.config.benchmarks import find_benchmark
from hydra_peft.config.identity import science, settings_id
from hydra_peft.config.schema import InitFrom, RunConfig
from hydra_peft.errors import UserError, WaitsForRun, did_you_mean, placed
from hydra_peft.files import sha256_of
from hydra_peft.methods import method_class
from hydra_peft.plain_text import in_one_line
from hydra_peft.plugins import check_origins
from hydra_peft.runs.folder import ADAPTER, check_run_folder, runs_of_task
from hydra_peft.runs.peft_start import PEFT, check_peft_start, is_peft_folder, origin_of_peft
from hydra_peft.runs.record import FILE, Record, read_record

#: options that neither shape an adapter nor are part of it: a run chooses them anew
_FREE = ("dropout", "init", "scale")
#: keys of what a fresh adapter alone has: one that a run starts from is past it
OF_FRESH = ("method.init",)
#: what of ``model`` says which layers there are and which weights are in them
_BACKBONE = ("architecture", "arguments", "pretrained")


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
    refused = ""
    found: list[tuple[int, datetime, Path]] = []
    for folder in runs_of_task(runs, benchmark=benchmark, task=task, seed=config.seed):
        with suppress(UserError):
            record = _record(folder)
            if record.protocol != config.protocol.name:
                continue
            try:
                _check_alike(config, record, None)
            except UserError as error:
                refused = f" (of one that is: {str(error).rstrip('.')})"
            else:
                found.append((-_unlike(config, record), record.begun, folder))
    if not found:
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
        )
    return origin_of_start(str(max(found)[-1]))


def _unlike(config: RunConfig, record: Record) -> int:
    """Return in how many settings a run differs from a recorded one; that this one started from
    another counts as one, for the run that begins has no start of its own yet."""
    own, theirs = _as_recorded(config.settings), record.settings
    acting, recorded = _as_recorded(science(config)), record.science
    differing = [
        key
        for key in {*own, *theirs}
        if not key.startswith("init_from")
        and own.get(key) != theirs.get(key)
        # A value that is typed may be the recipe's.
        and _value(acting, key) != _value(recorded, key)
    ]
    return len(differing) + bool(record.init_from)


def _value(groups: Mapping[str, Any], key: str) -> Any:
    """Return the value of the dotted ``key``; what equals nothing else where there is none."""
    group, _, name = key.partition(".")
    values = groups.get(group)
    return values[name] if isinstance(values, Mapping) and name in values else object()


def short_start(config: RunConfig) -> str:
    """Return a sentence where a run starts from one that was not trained by its whole recipe."""
    if config.init_from is None or config.init_from.config_id == PEFT:
        return ""
    record = _record(Path(config.init_from.folder))
    epochs = record.science.get("train", {}).get("epochs")
    said = []
    if record.settings.get("train.epochs") not in (None, "recipe"):
        said.append(f"for {epochs} epochs, which is not its recipe's number")
    if record.data.get("partial"):
        said.append("on a part of its data")
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
        _check_alike(config, record, weights)


def _check_alike(config: RunConfig, record: Record, weights: str | None) -> None:
    own, theirs = _as_recorded(science(config)["model"]), record.science.get("model")
    for key in _BACKBONE:
        if isinstance(theirs, Mapping) and theirs.get(key, own.get(key)) != own.get(key):
            raise UserError(
                f"that adapter was trained on {record.model} (model.{key}="
                f"{_shown(theirs.get(key))}), and this run is on {config.model.name} "
                f"({_shown(own.get(key))}): start from a run on the same backbone."
            )
    method = _as_recorded(config.method.identity())
    keys = {*method, *record.method} - {"name", *_FREE}
    if PISSA in (method.get("init"), record.method.get("init")):  # which has tensors of its own
        keys.add("init")
    for key in ("name", *sorted(keys)):
        if method.get(key) != record.method.get(key):
            raise UserError(
                f"that adapter is of {record.method_label} with method.{key}="
                f"{_shown(record.method.get(key))}, and this run has {_shown(method.get(key))}: "
                f"set method.{key}, or start from another run."
            )
    trained_on = str(record.weights.get("sha256"))
    if weights not in (None, trained_on):
        raise UserError(
            f"that adapter was trained on other weights of {record.model} (sha256 "
            f"{trained_on[:12]}) than this run's ({str(weights)[:12]}): start from a run on the "
            "same weights."
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


def _as_recorded(values: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads(json.dumps(values)))


def _shown(value: Any) -> str:
    """Return ``value`` as one types it: ``true``, ``[attn.proj,mlp.fc2]``."""
    return in_one_line(json.dumps(value, separators=(",", ":")).replace('"', ""))
