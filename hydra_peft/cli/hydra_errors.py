"""Hydra's and OmegaConf's complaints about an override, each as one sentence for the user."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import yaml
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hydra_peft.cli.clusters import NEEDED
from hydra_peft.errors import UserError, did_you_mean

#: more options than this are not all listed in a message
MANY = 12
CONF = Path(__file__).resolve().parent.parent.parent / "conf"


def one_sentence(error: Exception, defaults: Callable[[], DictConfig | None] = lambda: None) -> str:
    """Return what a user needs to know of ``error``.

    Args:
        error: raised while Hydra composed a config.
        defaults: gives the config without overrides, to look for near keys in; None if that is not
            known. Called only where it is needed: it takes as long as composing.
    """
    if isinstance(error, OverrideParseException):
        return f"cannot understand the override '{error.override}': expected key=value."
    if isinstance(error, MissingConfigException):
        return _missing_option(error)
    text = str(error)
    key = re.search(r"Could not override '([^']+)'", text)
    if key:
        return _unknown_key(key[1], defaults())
    group = re.search(r"Could not find '([^']+)'", text)
    if group:
        return f"there is no config '{group[1]}': see python scripts/train.py --help."
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    return " ".join(str(cause).split()) + "."


def of_hydra_itself(error: Exception, words: Sequence[str]) -> UserError | None:
    """Return the mistake if ``error`` comes of overrides of ``hydra.*``, None if it is a bug.

    Args:
        error: what Hydra raised around what it calls of ours.
        words: the command line.
    """
    own = [word for word in words if re.match(r"[+~]*hydra[./=]", word)]
    if not own or isinstance(error, OSError):
        return None
    reason = " ".join(str(error).split()).rstrip(".")
    return UserError(f"Hydra cannot work with {' '.join(own)}: {reason}.")


def _missing_option(error: MissingConfigException) -> str:
    missing = str(error.missing_cfg_file)
    if missing.startswith("hydra/launcher/submitit_"):
        return NEEDED.format(f"hydra/launcher={missing.rpartition('/')[2]}")
    group, _, name = missing.partition("/")
    folder = CONF / group
    options = sorted(str(p.relative_to(folder).with_suffix("")) for p in folder.rglob("*.yaml"))
    if not name or not options or group == "hydra":
        return f"there is no config '{error.missing_cfg_file}': see python scripts/train.py --help."
    choices = ", ".join(options)
    if len(options) > MANY:
        choices = f"the {len(options)} in conf/{group}"
    return f"unknown {group} '{name}'{did_you_mean(name, options)}: choose one of {choices}."


def _unknown_key(key: str, defaults: DictConfig | None) -> str:
    if (CONF / key).is_dir():
        return f"'{key}' is not part of the defaults: add it with a plus, as +{key}=..."
    parent, _, last = key.rpartition(".")
    node = None
    if defaults is not None:
        node = OmegaConf.select(defaults, parent) if parent else defaults
        if node is None:
            # The group itself is misspelt: look its name up instead.
            last, node = key.split(".")[0], defaults
    if not isinstance(node, DictConfig):
        return f"unknown key '{key}': see python scripts/train.py --help."
    known = [str(name) for name in node if str(name) != "hydra"]
    return f"unknown key '{key}'{did_you_mean(last, known)}; known here: {', '.join(known)}."


COMPOSITION_ERRORS = (
    HydraException,
    OmegaConfBaseException,
    ConfigCompositionException,
    yaml.YAMLError,
)
