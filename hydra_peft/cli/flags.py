"""The flags of the command line, checked before Hydra takes them."""

from __future__ import annotations

import os.path
import re
from collections.abc import Sequence
from itertools import pairwise

from hydra._internal.utils import get_args_parser

from hydra_peft.cli.known_keys import PRESETS
from hydra_peft.config.omegaconf_errors import groups_with
from hydra_peft.config.plain import types
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
    parser.allow_abbrev = False
    known = parser._option_string_actions
    for word, after in pairwise([*words, ""]):
        name = word.partition("=")[0]
        if f"-{name}" in known and name not in known:
            raise UserError(f"there is no flag {name} with one dash: type -{word}.")
        if name not in known and (word.startswith("--") or _is_setting(name)):
            raise UserError(_no_flag(word, after))
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


def _is_setting(name: str) -> bool:
    """Whether ``name``, which begins with one dash, is that of a setting."""
    key = name[1:]
    return bool(re.fullmatch(r"-\w{2,}", name)) and (key in types() or bool(groups_with(key)))


def _no_flag(word: str, after: str) -> str:
    """Return the sentence on a ``word`` that is typed as a flag, and the word after it."""
    typed = word.lstrip("-")
    if re.fullmatch(r"\w[\w.]* \S+", typed):  # quoted together
        typed = typed.replace(" ", "=")
    elif typed[:1] in ("", "="):  # -- alone
        return f"there is no flag {word}: settings are typed as key=value, without dashes."
    key, _, value = typed.partition("=")
    name = word[: word.index(key) + len(key)]
    if not value and not re.search("^-|=", after):
        value = after
    key = key.replace("-", "_")
    keys = [f"{group}.{key}" for group in groups_with(key)] or [
        f"{'+' if key == PRESETS else ''}{key}"
    ]
    form = " or ".join(f"{one}={value or '...'}" for one in keys)
    return (
        f"there is no flag {name}: settings are typed without dashes, as {form}; see python "
        "scripts/train.py --help."
    )


def _refuse(message: str) -> None:
    # It takes -hlep for -h and a value of it.
    part = r"argument \S+/-(\w): ignored explicit argument '(.*)'"
    message = re.sub(part, r"unrecognized arguments: -\1\2", message)
    raise UserError(f"{message}: see python scripts/train.py --help.")
