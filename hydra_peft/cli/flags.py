"""The flags of the command line, checked before Hydra takes them."""

from __future__ import annotations

import os.path
from collections.abc import Sequence

from hydra._internal.utils import get_args_parser

from hydra_peft.errors import UserError

_CONFIG_DIR = ("--config-dir", "-cd")


def is_flag(word: str) -> bool:
    """Whether ``word`` is a flag that may stand anywhere: it takes no word after it."""
    return word in ("-m", "--multirun") or (word.startswith("--") and "=" in word)


def check_flags(words: Sequence[str]) -> None:
    """Check that Hydra's parser takes ``words``, and that no flag makes it unpickle a file.

    Raises:
        UserError: an unknown flag, one without its value, ``--package`` where no config is shown,
            ``--experimental-rerun``, or a ``--config-dir`` that is no folder, or the second one.
    """
    parser = get_args_parser()
    parser.error = _refuse  # type: ignore[method-assign, assignment]
    flags = parser.parse_args(words)
    if flags.package is not None and not flags.cfg:
        raise UserError(f"--package {flags.package} says what --cfg shows: add --cfg job.")
    if flags.experimental_rerun is not None:
        raise UserError(
            "--experimental-rerun unpickles a file, which can run anything: type the command of "
            "the run again, or see scripts/evaluate.py."
        )
    folder = flags.config_dir
    if folder is None:
        return
    if sum(word.partition("=")[0] in _CONFIG_DIR for word in words) > 1:
        raise UserError(
            f"{_CONFIG_DIR[0]} is given twice, and one would count: put the yaml files into one "
            "folder, or add the other one as 'hydra.searchpath=[\"file:///...\"]'."
        )
    if not os.path.isdir(folder):
        raise UserError(
            f"{_CONFIG_DIR[0]}={folder} is no folder: give the one that your dataset/, experiment/ "
            "and the like are in."
        )


def _refuse(message: str) -> None:
    raise UserError(f"{message}: see python scripts/train.py --help.")
