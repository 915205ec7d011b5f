"""Overrides of ``hydra.*`` that Hydra takes wrongly, silently or in words of its own."""

from __future__ import annotations

import os.path
import re
import shlex
from collections.abc import Sequence
from importlib.resources import files

import yaml
from hydra.conf import HydraConf
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from hydra_peft.checkout import CONF
from hydra_peft.cli.launchers import OTHER_SWEEPER, OWN_SWEEPER
from hydra_peft.cli.quoted_words import as_typed
from hydra_peft.errors import UserError, did_you_mean

_OWN = re.compile(r"[+~]*(?:hydra(?:[./=]|$)|sweeper=)")
#: our own group of settings, with a value that is no mapping: a name, or several
_LAUNCHER = re.compile(r"[+]*launcher=(?![{$])(?:(?!null$)(\w+)|.*)", re.DOTALL)
#: where Hydra would write files of its own, over those of others too
_FOLDERS = re.compile(r"hydra\.(run|sweep|output_subdir)(\.|$)")
#: of ``hydra/launcher=slurm`` too, by hydra-submitit-launcher, which need not be here
_OF_SUBMITIT = (
    *("partition", "qos", "account", "constraint", "comment", "exclude", "gres", "gpus_per_task"),
    *("mem_per_gpu", "mem_per_cpu", "cpus_per_gpu", "stderr_to_stdout", "additional_parameters"),
)
_SWEPT = "hydra.sweeper.params."
#: what plugins fill, so that Hydra's own schema does not have their keys
_OF_PLUGINS = ("hydra.launcher", "hydra.sweeper")


def check_keys_of_hydra(words: Sequence[str]) -> None:
    """Check that overrides of ``hydra.*`` give keys that Hydra has one value, of the right kind.

    Launchers are options of Hydra's too: ``launcher`` is a group of settings of ours.

    Raises:
        UserError: one does not, or ``launcher`` is given the name of one.
    """
    parser = OverridesParser.create()
    for word in words:
        if (name := _LAUNCHER.fullmatch(word)) is not None:
            sweep = "" if is_multirun(words) else "-m "
            raise UserError(
                f"'{word}': launcher is a group of settings, and how a sweep's jobs are started is "
                f"chosen as {sweep}hydra/launcher={name[1] or '<name>'}."
            )
        if not _OWN.match(word):
            continue
        try:
            override = parser.parse_override(word)
        except HydraException:
            continue  # Hydra says itself what it does not understand
        reason = _wrong(override, word)
        if reason is None and override.key_or_group == "hydra.mode" and is_multirun(words):
            reason = "-m makes a sweep of the command already: leave one of them out"
        if reason is not None:
            raise UserError(f"'{word}': {reason}.")


def is_multirun(words: Sequence[str]) -> bool:
    """Whether flags ask for a sweep."""
    return "-m" in words or "--multirun" in words


def _wrong(override: Override, word: str) -> str | None:
    key = override.key_or_group
    if override.is_delete():
        return "Hydra needs its own settings, none can be taken away"
    if key in ("hydra/sweeper", "sweeper") and override.value() != OWN_SWEEPER:
        return OTHER_SWEEPER.removesuffix(".")
    if override.is_sweep_override():
        return _several(key, word.partition("=")[2], word)
    value = override.value()
    if _FOLDERS.match(key) and (key != "hydra.output_subdir" or value is not None):
        return "a run's folder lies below paths.runs and is named by what it is: set paths.runs"
    if key == "hydra.job.chdir" and value is True:
        return "a run's files go below paths.runs wherever it is typed: leave it out"
    if re.match(r"hydra\.job\.env_set\b", key):
        return (
            "Hydra sets it after torch is loaded, and not for jobs of a sweep: type NAME=value "
            "before the command"
        )
    if key == "hydra":
        return f"hydra is a group of settings{_settings_of(key)}: set one, as hydra.verbose=true"
    if re.match(r"hydra[./]callbacks\b", key):
        return "a callback is code, and nothing here is code that a setting names: leave it out"
    if "/" in key:
        return _wrong_option(override)
    if key == "hydra.sweeper._target_":
        return OTHER_SWEEPER.removesuffix(".")
    if key == "hydra.searchpath" and isinstance(value, list):
        return _missing_folder(value)
    if word.startswith("+") and (unknown := unknown_key_of_hydra(key)):
        return unknown
    known = _settings_of(key)
    if known is not None and not isinstance(value, dict):
        if key == "hydra.sweeper" and isinstance(value, str):
            return OTHER_SWEEPER.removesuffix(".")
        chosen = key == "hydra.launcher" and isinstance(value, str)
        form = f": an option is chosen as hydra/launcher={value}" if chosen else ""
        return f"{key} is a group of settings{known}, not one value{form}"
    return None


def _wrong_option(override: Override) -> str | None:
    """Return what is wrong with the choice of an option of a group of Hydra's."""
    group, value = override.key_or_group, override.value()
    if not isinstance(value, str | list):
        return "the name of an option is needed, as in hydra/launcher=local"
    if isinstance(value, str) and (override.is_add() or override.is_force_add()):
        form = f", as {group}={value}" if group.endswith(("launcher", "logging")) else ""
        return f"Hydra has an option of {group}: choose another without a plus{form}"
    return None


def _several(key: str, values: str, word: str) -> str:
    if key.startswith(_SWEPT):
        typed = shlex.quote(f"{key.removeprefix(_SWEPT)}={values}")
        return f"values to sweep over are given as -m {typed}"
    form = as_typed(word.partition("=")[0], values)
    # The name of an option has no comma in it.
    quoted = f", or put quotes around it, as in {form}" if form and "/" not in key else ""
    return f"Hydra's own settings have one value in a command, not several: choose one{quoted}"


def _missing_folder(paths: list[object]) -> str | None:
    for path in paths:
        package = str(path).removeprefix("pkg://")
        if package != path and not _is_package(package):
            return f"there is no package {package} here that yaml files could be in"
        folder = str(path).removeprefix("file://")
        is_local = "://" not in folder and "${" not in folder
        if is_local and not os.path.isdir(os.path.expanduser(folder)):
            return f"there is no folder {folder}"
    return None


def _is_package(name: str) -> bool:
    try:
        return files(name.replace("/", ".")).is_dir()
    except (ImportError, OSError, TypeError, ValueError):
        return False


def _settings_of(name: str) -> str | None:
    """Return the settings that Hydra's key ``name`` groups, None where it is no group."""
    if name in _OF_PLUGINS:
        return ""
    node: object = OmegaConf.structured(HydraConf)
    for part in name.split(".")[1:]:
        if not isinstance(node, DictConfig) or part not in node.keys():  # noqa: SIM118
            return None
        node = node._get_node(part)
    if not isinstance(node, DictConfig):
        return None
    known = ", ".join(str(one) for one in node.keys())  # noqa: SIM118
    return f" ({known})" if known else ""


def unknown_key_of_hydra(name: str) -> str | None:
    """Return in words that Hydra has no key ``name``; None where it has, or plugins may have."""
    node: object = OmegaConf.structured(HydraConf)
    for part in name.split(".")[1:]:
        # Below a plain dict, or what plugins bring along, any key may be meant.
        if not isinstance(node, DictConfig) or OmegaConf.get_type(node) in (None, dict):
            break
        known = [str(one) for one in node.keys()]  # noqa: SIM118 - `in` passes over missing ones
        if part not in known:
            near = did_you_mean(part, known)
            return f"Hydra has no key '{name}'{near}; known there: {', '.join(known)}"
        node = node._get_node(part)
    return None


def of_a_cluster(key: str) -> str:
    """Return the sentence on a ``hydra.launcher.<key>`` that the chosen launcher has not."""
    with open(CONF / "hydra" / "launcher" / "slurm.yaml", encoding="utf-8") as text:
        own = yaml.safe_load(text).keys() - {"defaults"}
    known = sorted({*own, *_OF_SUBMITIT})
    name, _, inside = key.removeprefix("hydra.launcher.").partition(".")
    if inside and name in known:
        return f"'{key}' is added to {name}: type it with a plus, as +{key}=..."
    if name in known:
        return f"'{key}' is of SLURM: add -m hydra/launcher=slurm, or leave it out."
    return (
        f"unknown key '{key}'{did_you_mean(name, known)}: launchers of this machine have none "
        f"(theirs are launcher.<key>), hydra/launcher=slurm has {', '.join(known)}."
    )
