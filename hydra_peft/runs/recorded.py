"""Record and config of a completed run, read from its folder and compared; no torch."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from hydra_peft.backbones.weight_files import check_weights_exist
from hydra_peft.config.check import check_recorded
from hydra_peft.config.identity import config_id
from hydra_peft.config.schema import ModelConfig, RunConfig
from hydra_peft.errors import UserError
from hydra_peft.files import open_regular, read_json
from hydra_peft.links import missing
from hydra_peft.plugins import check_origins
from hydra_peft.runs.config_file import CONFIG, not_its_config, read_config
from hydra_peft.runs.first_look import splits_scored
from hydra_peft.runs.folder import ADAPTER
from hydra_peft.runs.record import Record, read_record


def read_run_config(folder: Path) -> RunConfig:
    """Return the checked config of the run in ``folder``.

    The file is read as plain yaml: nothing in it is resolved, imported or instantiated.

    Raises:
        UserError: see :func:`hydra_peft.runs.config_file.read_config`; or it does not check.
    """
    with in_file(folder / CONFIG):
        return check_recorded(read_config(folder))


def read_completed(
    folder: Path, *, checkpoint: str | None = None, doubts: list[str] | None = None
) -> tuple[Record, RunConfig]:
    """Return the record and the checked config of the completed run in ``folder``.

    Args:
        checkpoint: the backbone's weights, where they have moved since; None takes the recorded.
        doubts: gets a sentence where the folder contradicts itself; None refuses it.

    Raises:
        UserError: one of both is missing or damaged, or the run did not complete.
    """
    record = read_record(folder, doubts)
    check_origins(record.science.get("plugins"), f"the run in {folder}")
    config = read_run_config(folder)
    if record.status != "completed":
        raise UserError(
            f"the run in {folder} is {record.status}, and only completed ones have a trained "
            "model: train it again, or name another."
        )
    counted, *further = splits_scored(config)
    if record.split != counted or record.scores.keys() != {counted, *further}:
        raise UserError(f"{folder}: record and config name different splits: edited?")
    # Records of older code have no seal.
    if config_id(config) != record.config_id:
        sentence = not_its_config(folder)
        if doubts is None:
            raise UserError(sentence)
        said = sentence.removesuffix(": edited?")
        doubts += [sentence] * (not any(doubt.startswith(said) for doubt in doubts))
    if checkpoint is not None:
        model = dataclasses.replace(config.model, checkpoint=checkpoint)
        config = dataclasses.replace(config, model=model)
    return record, config


def look_at_run(
    folder: Path, *, checkpoint: str | None = None, doubts: list[str] | None = None
) -> RunConfig:
    """Check what keeps the run in ``folder`` from being rebuilt and can be seen without torch.

    Args:
        checkpoint, doubts: see :func:`read_completed`.

    Returns:
        The run's config.

    Raises:
        UserError: see :func:`read_completed`; or adapter or weights are not there, or its
            description is no json.
    """
    _, config = read_completed(folder, checkpoint=checkpoint, doubts=doubts)
    for name in ADAPTER:
        _check_file(folder, name)
    read_json(folder / ADAPTER[0], links=True)
    check_weights(folder, config.model, moved=checkpoint is not None)
    return config


def check_weights(folder: Path, model: ModelConfig, *, moved: bool) -> None:
    """Check that the weights of the run in ``folder`` are there, as far as a look tells.

    Args:
        moved: whether their place was given, and is not what the run's config says.

    Raises:
        UserError: they are not.
    """
    if model.pretrained:
        with nullcontext() if moved else in_file(folder / CONFIG):
            check_weights_exist(model.architecture, model.checkpoint, where_weights_are(model))


def where_weights_are(model: ModelConfig) -> str:
    """Return what to do where the weights of a run that is done are missing: others are no use."""
    origin = f", which {model.url} has" if model.url else ""
    return f"give checkpoint=<file> of the weights that the run was trained with{origin}"


def _check_file(folder: Path, name: str) -> None:
    path = folder / name
    if not os.path.lexists(path):
        raise UserError(f"{folder} has no {name}: without it the run cannot be rebuilt.")
    try:
        open_regular(path, links=True).close()
    except FileNotFoundError:
        raise UserError(f"{missing(path)}: put the file itself there.") from None


@contextmanager
def in_file(path: Path) -> Iterator[None]:
    """Name the file that a mistake is in."""
    try:
        yield
    except UserError as error:
        said = str(error)
        raise UserError(said if str(path) in said else f"{path}: {said}") from None
