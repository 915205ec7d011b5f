"""Files of a run folder as text for a page: bounded, regular, and in that folder."""

from __future__ import annotations

from pathlib import Path

from hydra_peft.files import content_of
from hydra_peft.runs.config_file import CONFIG, MAX_CONFIG_BYTES
from hydra_peft.runs.record import TRACEBACK

#: the end of a traceback says what happened
TRACEBACK_TAIL = 6 * 2**10


def read_config(folder: Path) -> str | None:
    """Return the text of the run's ``config.yaml``, None where there is none.

    Raises:
        UserError: see :func:`hydra_peft.files.content_of`.
    """
    return _text(content_of(folder / CONFIG, MAX_CONFIG_BYTES))


def read_traceback(folder: Path) -> str | None:
    """Return the end of the run's ``traceback.txt``, None where there is none.

    Raises:
        UserError: see :func:`hydra_peft.files.content_of`.
    """
    return _text(content_of(folder / TRACEBACK, TRACEBACK_TAIL, tail=True))


def _text(content: bytes | None) -> str | None:
    return None if content is None else content.decode(errors="replace")
