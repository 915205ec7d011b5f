"""``config.yaml`` of a run's folder: its plain values, and whether they are those of its record."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra_peft.config.text import from_own_yaml, from_yaml
from hydra_peft.errors import UserError
from hydra_peft.files import content_of
from hydra_peft.runs._contradictions import config_contradictions

if TYPE_CHECKING:
    from hydra_peft.runs.record import Record

CONFIG = "config.yaml"
#: one has some kilobytes
MAX_CONFIG_BYTES = 128 * 2**10


def read_config(folder: Path) -> dict[str, Any]:
    """Return the plain values in the ``config.yaml`` of the run in ``folder``.

    Raises:
        UserError: it is missing or damaged, or is no plain yaml of bounded size and depth.
    """
    path = folder / CONFIG
    text = _text(path)
    if text is None:
        raise UserError(f"cannot read {path}: there is no such file; is {folder} a run?")
    return from_yaml(text, str(path))


def config_doubt(folder: Path, record: Record) -> str:
    """Return a sentence where the config in ``folder`` is not that of ``record``, "" where it is.

    One that is missing says nothing else: records are copied without it, too.
    """
    path = folder / CONFIG
    try:
        text = _text(path)
        values = None if text is None else from_own_yaml(text) or from_yaml(text, str(path))
    except UserError as error:
        return str(error)
    differs = "" if values is None else config_contradictions(record, values)
    return f"{path} is not the config of the run's record: {differs}: edited?" if differs else ""


def _text(path: Path) -> str | None:
    content = content_of(path, MAX_CONFIG_BYTES)
    try:
        return None if content is None else content.decode()
    except UnicodeDecodeError:
        raise UserError(f"{path} is not valid yaml: truncated or edited?") from None
