"""``config.yaml`` of a run's folder: its plain values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra_peft.config.text import from_yaml
from hydra_peft.errors import UserError
from hydra_peft.files import content_of

CONFIG = "config.yaml"
#: one has some kilobytes
MAX_CONFIG_BYTES = 128 * 2**10


def read_config(folder: Path) -> dict[str, Any]:
    """Return the plain values in the ``config.yaml`` of the run in ``folder``.

    Raises:
        UserError: it is missing or damaged, or is no plain yaml of bounded size and depth.
    """
    path = folder / CONFIG
    content = content_of(path, MAX_CONFIG_BYTES)
    if content is None:
        raise UserError(f"cannot read {path}: there is no such file; is {folder} a run?")
    try:
        return from_yaml(content.decode("utf-8-sig"), str(path))
    except UnicodeDecodeError:
        raise UserError(f"{path} is not valid yaml: truncated or edited?") from None


def config_text(folder: Path) -> str | None:
    """Return the text of the ``config.yaml`` of the run in ``folder``; None where there is none:
    records are copied without it, too.

    Raises:
        UserError: it is no regular file, too large, or cannot be read.
    """
    content = content_of(folder / CONFIG, MAX_CONFIG_BYTES)
    return None if content is None else content.decode("utf-8-sig", "replace")


def not_its_config(folder: Path, how: str = "") -> str:
    """Return a sentence on a ``config.yaml`` of another run than the record beside it.

    Args:
        how: where they differ, as far as that is known.
    """
    differs = f", {how}" if how else ""
    return f"{folder / CONFIG} is not the config of the run's record{differs}: edited?"
