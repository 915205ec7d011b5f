"""A finished run, rebuilt from its folder alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import nn

from hydra_peft.adaptation.merging import merge
from hydra_peft.adaptation.storage import load_adapter
from hydra_peft.config.check import check_recorded
from hydra_peft.config.schema import RunConfig
from hydra_peft.data.splits import ImageSplit
from hydra_peft.errors import UserError
from hydra_peft.models.architectures import input_size
from hydra_peft.runs.assembly import build_normalizer, load_backbone, load_data
from hydra_peft.runs.first_look import task_of
from hydra_peft.runs.folder import CONFIG
from hydra_peft.runs.record import Record, read_record
from hydra_peft.training.devices import resolve_device
from hydra_peft.training.evaluation import Score, evaluate

#: a run's config is a few kilobytes
MAX_CONFIG_BYTES = 2**20
#: the time that yaml takes grows with the square of how deep they are nested
MAX_BRACKETS = 1000
#: more than any machine's; a record that says so is not believed
MAX_THREADS = 1024


@dataclass(frozen=True)
class Comparison:
    """What a run recorded, and what its rebuilt model scores now.

    Attributes:
        recorded: the run's record.
        unmerged: score with the branches in place.
        merged: score of the merged model; None for methods without adapters to merge.
    """

    recorded: Record
    unmerged: Score
    merged: Score | None


def read_run_config(folder: Path) -> RunConfig:
    """Return the checked config of the run in ``folder``.

    The file is read as plain yaml: nothing in it is resolved, imported or instantiated.

    Raises:
        UserError: the file is missing, damaged, holds an interpolation, or does not check.
    """
    path = folder / CONFIG
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise UserError(f"{path} is larger than {MAX_CONFIG_BYTES} bytes: not a run's config.")
        text = path.read_text(encoding="utf-8")
        if text.count("[") + text.count("{") > MAX_BRACKETS:
            raise UserError(f"{path} has more brackets than a run's config: edited?")
        # We write none; written out, a few lines of them would fill all memory.
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text, yaml.SafeLoader)):
            raise UserError(f"{path} holds an alias: a run's config has plain values only.")
        content = yaml.safe_load(text)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; is {folder} a run?") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError):  # the last: nested without end
        raise UserError(f"{path} is not valid yaml: truncated or edited?") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no settings.")
    if "${" in text:
        raise UserError(f"{path} holds an interpolation: a run's config has plain values only.")
    return check_recorded(content)


@dataclass(frozen=True)
class RebuiltRun:
    """A completed run's model, on the CPU, and what made it.

    Attributes:
        folder: where it was rebuilt from.
        record: what the run recorded.
        config: its checked config.
        model: the trained model, unmerged, head included.
    """

    folder: Path
    record: Record
    config: RunConfig
    model: nn.Module


def rebuild(folder: Path, *, checkpoint: str | None = None) -> RebuiltRun:
    """Rebuild the model of the run in ``folder``; no data is read.

    Args:
        folder: a completed run's folder.
        checkpoint: the backbone's weights, where they have moved since; None takes the recorded.

    Raises:
        UserError: the run did not complete, or the weights are not those of the record.
    """
    record, config = read_record(folder), read_run_config(folder)
    if record.status != "completed":
        raise UserError(f"the run in {folder} is {record.status}: there is nothing to evaluate.")
    if record.metrics.get("split") != config.protocol.evaluate_split:
        raise UserError(f"{folder}: record and config name different splits: edited?")
    model = config.model
    if checkpoint is not None:
        model = dataclasses.replace(model, checkpoint=checkpoint)
    backbone, weights = load_backbone(model, config.seed)
    _same("backbone weights", weights.sha256, record.weights.get("sha256"), folder)
    load_adapter(backbone, folder, check_weights=False)
    return RebuiltRun(folder, record, config, backbone)


def load_scored_split(run: RebuiltRun, *, cache: Path, data: str | None = None) -> ImageSplit:
    """Return the images that ``run`` was scored on, in its model's size.

    Args:
        cache: where the task's images are cached on this machine.
        data: folder of prepared data, where it has moved since; None takes the recorded.

    Raises:
        UserError: the images are missing, or are not those of the record.
    """
    config, split = run.config, run.config.protocol.evaluate_split
    paths = dataclasses.replace(config.paths, cache=str(cache), data=data or config.paths.data)
    task = task_of(config.dataset, paths, [split])
    loaded = load_data(config.dataset, config.data, task, input_size(run.model), wanted=[split])
    _same(
        f"{split} images",
        _split_hash(loaded.description, split),
        _split_hash(run.record.data, split),
        run.folder,
    )
    return loaded.splits[split]


def reevaluate(
    folder: Path, *, cache: Path, checkpoint: str | None, data: str | None, device: str
) -> Comparison:
    """Rebuild the model of the run in ``folder`` and score it again, unmerged and merged.

    On a CPU torch is set to the recorded number of threads.

    Args:
        folder: a completed run's folder.
        cache: where the task's images are cached on this machine.
        checkpoint: the backbone's weights, where they have moved since; None takes the recorded.
        data: folder of prepared data, where it has moved since; None takes the recorded.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        UserError: the run did not complete, or weights or data are not those of the record.
    """
    where = resolve_device(device)
    run = rebuild(folder, checkpoint=checkpoint)
    threads = run.record.hardware.get("threads")
    if where.type == "cpu" and isinstance(threads, int) and 1 <= threads <= MAX_THREADS:
        # Another number of threads sums in another order, which can flip a close call.
        torch.set_num_threads(threads)
    images = load_scored_split(run, cache=cache, data=data)
    model = run.model.to(where)
    arguments: dict[str, Any] = {
        "prepare": build_normalizer(model, run.config.data.normalization, where),
        "device": where,
        "precision": run.config.precision,
    }
    unmerged = evaluate(model, images, **arguments)
    merged = evaluate(model, images, **arguments) if merge(model) else None
    return Comparison(run.record, unmerged, merged)


def _split_hash(description: Mapping[str, Any], split: str) -> str:
    splits = description.get("splits")
    return str(splits.get(split)) if isinstance(splits, Mapping) else "not recorded"


def _same(what: str, now: str, recorded: object, folder: Path) -> None:
    if now != recorded:
        raise UserError(
            f"the {what} (sha256 {now[:12]}) are not those of the run in {folder} "
            f"({str(recorded)[:12]}): its score cannot be reproduced with them."
        )
