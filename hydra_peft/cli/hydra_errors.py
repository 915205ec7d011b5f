"""Hydra's and OmegaConf's complaints about an override, each as one sentence for the user."""

from __future__ import annotations

import os.path
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

import yaml
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hydra_peft.checkout import CONF, option, options
from hydra_peft.cli.clusters import NEEDED
from hydra_peft.cli.home import PATH_KEYS
from hydra_peft.cli.hydra_keys import of_a_cluster, unknown_key_of_hydra
from hydra_peft.cli.known_keys import PRESETS, TRACKERS, is_section, known_key, near_key
from hydra_peft.cli.launchers import OTHER_SWEEPER
from hydra_peft.cli.no_sweep import NO_MATCH, no_sweep
from hydra_peft.cli.not_understood import not_understood
from hydra_peft.cli.overrides import values_of
from hydra_peft.cli.quoted_words import as_typed
from hydra_peft.cli.sound_words import meant_word
from hydra_peft.cli.word_keys import full_key
from hydra_peft.config.interpolations import unresolved
from hydra_peft.config.omegaconf_errors import unknown_key, wrong_value
from hydra_peft.config.other_names import meant_by_others
from hydra_peft.config.schema import RunConfig
from hydra_peft.data.own_words import own_words
from hydra_peft.errors import UserError, did_you_mean, near
from hydra_peft.plain_text import quoted

#: more options than this are not all listed in a message
MANY = 12


def one_sentence(
    error: Exception,
    defaults: Callable[[], DictConfig | None] = lambda: None,
    words: Sequence[str] = (),
    *,
    sweeps: bool = True,
) -> str:
    """Turn an error of Hydra's or OmegaConf's into one sentence for the user.

    Args:
        error: raised while Hydra composed a config.
        defaults: gives the config without overrides, to look for near keys in; None if that is not
            known. Called only where it is needed: it takes as long as composing.
        words: the command line.
        sweeps: whether the command takes ``-m``.
    """
    if isinstance(error, OverrideParseException):
        return not_understood(error, words)
    if isinstance(error, MissingConfigException):
        return _missing_option(error)
    text = str(error)
    return (
        _of_words(text, words, defaults, sweeps)
        or _of_keys(error, words, defaults)
        or _of_groups(text)
        or _of_values(error)
    )


def _of_words(
    text: str,
    words: Sequence[str],
    defaults: Callable[[], DictConfig | None],
    sweeps: bool,
) -> str | None:
    """Return what is wrong in how a word is written."""
    values = r"(?:Ambiguous value for argument|Sweep parameters) '(.*?)'( requires|\n)"
    if found := re.match(values, text):
        return several(found[1], defaults, words, sweeps=sweeps)
    if text.startswith("Could not override ''"):
        return "a word begins with =, and a value needs a key: settings are typed as key=value."
    if text.startswith("Could not delete ''"):
        return "~ alone takes nothing away: it stands before the key that is to go, as ~key."
    if forced := re.search(r"force-add of .*'\+\+((\S+?)=.*)'", text):
        form = shlex.quote(f"{'+' if forced[2] == PRESETS else ''}{forced[1]}")
        return f"an option is not chosen with two plus: type {form}."
    return None


def _of_keys(
    error: Exception, words: Sequence[str], defaults: Callable[[], DictConfig | None]
) -> str | None:
    """Return what is wrong with a key that is not there, or is there already."""
    text = str(error)
    refused = r"Error in call to .*(?:no arguments|keyword argument).*full_key: (hydra\.\w+)"
    if settings := re.match(refused, text, re.DOTALL):
        return _not_taken(settings[1], text, words)
    absent = re.match(r"Could not delete from config\. '([^']+)' does not exist", text)
    if absent and _has(defaults(), full_key(absent[1])):
        return (
            f"'~{absent[1]}' takes nothing away, since a word before it replaces or takes away "
            "what it is in: leave it out."
        )
    if absent and _is_null(defaults(), absent[1]):
        return f"'~{absent[1]}' takes nothing away: it is null already, so leave it out."
    if key := re.search(r"Could not override '([^']+)'", text) or absent:
        inside = str(getattr(error.__cause__, "full_key", None))  # of a mapping that is given
        return _unknown_key(inside if inside.startswith(f"{key[1]}.") else key[1], defaults())
    already = re.search(r"already at '([^']+)'\.\s+Either remove \+ prefix: '(.*)'", text)
    return _given_already(already[1], already[2], words) if already else None


def _of_groups(text: str) -> str | None:
    """Return what is wrong with options that are chosen twice, or that are not there."""
    again = re.match(r"Multiple values for (\S+)\. To override .* 'override \S+: (.*)'", text)
    if again:
        form = f"- override /{again[1]}: {again[2]}"
        return f"a defaults list chooses {again[1]} a second time: write '{form}' to change it."
    twice = re.match(r"(\S+) appears more than once in the final defaults list", text)
    if twice:
        return (
            f"{twice[1]} is chosen more than once, by defaults lists or with a plus: choose once."
        )
    group = re.search(r"Could not find '([^']+)'", text)
    return group and f"there is no config '{group[1]}': see python scripts/train.py --help."


def _of_values(error: Exception) -> str:
    """Return what OmegaConf has against a value."""
    cause = error.__cause__ if isinstance(error.__cause__, OmegaConfBaseException) else error
    if nowhere := unresolved(cause):
        return nowhere
    if wrong := wrong_value(cause, str(getattr(cause, "full_key", None))):
        return f"{wrong.rstrip('.')}, or be left out."
    # What follows the first line is OmegaConf's own: full_key, object_type.
    said = str(cause)
    said = said.splitlines()[0] if isinstance(cause, OmegaConfBaseException) else said
    full = getattr(cause, "full_key", None)
    if full and "Cannot merge DictConfig with ListConfig" in said:
        form = f"its settings as {full}.<key>=..." if is_section(full) else f"as {full}={{a: 1}}"
        return (
            f"{full} is a list where a mapping is meant, or the other way round: a list is written "
            f"as {full}=[a,b], a mapping {form}."
        )
    named = f"{full}: " if full and full not in said else ""
    return named + " ".join(said.split()).rstrip(".") + "."


def _has(config: DictConfig | None, key: str) -> bool:
    return config is not None and OmegaConf.select(config, key) is not None


def _is_null(config: DictConfig | None, key: str) -> bool:
    group, _, name = key.rpartition(".")
    inside = OmegaConf.select(config, group) if config is not None and group else config
    return isinstance(inside, DictConfig) and name in inside and inside[name] is None


def _not_taken(group: str, text: str, words: Sequence[str]) -> str:
    """Return the sentence on settings below ``group`` that the chosen option does not have."""
    key = re.search(r"keyword argument '(\w+)'", text)
    typed = [quoted(word) for word in words if word.lstrip("+").startswith(f"{group}.")]
    named = f"'{group}.{key[1]}'" if key else " ".join(typed) or "a setting that it was given"
    return f"{group}: the {group.rpartition('.')[2]} chosen does not take {named}: leave it out."


def _given_already(key: str, override: str, words: Sequence[str]) -> str:
    """Return the sentence on a ``key`` that is added to where it is."""
    twice = [quoted(word) for word in words if word.lstrip("+").partition("=")[0] == key]
    if len(twice) > 1:
        return f"{key} is given twice, as {twice[0]} and as {twice[1]}: leave one of them out."
    form = meant_word(key, override.partition("=")[2], words)
    said = f"{key} has a value, which is changed without a plus"
    return f"{said}: type {form}." if form else f"{said}."


def several(
    override: str,
    defaults: Callable[[], DictConfig | None],
    words: Sequence[str] = (),
    *,
    sweeps: bool = True,
) -> str:
    """Return advice on several values given where one is needed; see :func:`one_sentence`."""
    key, _, value = override.partition("=")
    parsed = OverridesParser.create().parse_override(override)
    if sweeps and (reason := no_sweep(parsed)):
        return reason
    own = any(word.startswith(("--config-dir", "-cd")) for word in words)  # options not in conf
    if isinstance(glob := parsed.value(), Glob) and not own and not glob.filter(options(key)):
        return NO_MATCH.format(override, key)
    name = key.lstrip("+")
    if name in PATH_KEYS:  # whose parts have quotes by now where they have a =
        value = ",".join(getattr(one, "text", str(one)) for one in values_of(parsed))
    begun = f"'{key}={value}' gives several values"
    form = as_typed(key, value)
    if name in PATH_KEYS and form is not None:
        return f"{begun}: if it is one path with a comma, quote it, as in {form}."
    found = defaults()
    usual = OmegaConf.select(found, name) if found is not None else None
    if isinstance(usual, ListConfig) or name.startswith(("launcher.gpus", "protocol.grid.")):
        if "(" in value:  # range(0,3): within a list it gives no values
            return f"{begun} where one list is needed: write them out, as in {key}=[a,b]."
        return f"{begun} where one list is needed: type {shlex.quote(f'{key}=[{value}]')}."
    if not known_key(name) and usual is None and not name.startswith("hydra"):
        return _unknown_key(name, found)  # a sweep would not have it either
    if not sweeps or name.startswith(("launcher.", "sweep.")):
        return f"{begun} where one is needed: give one of them."
    return f"{begun}, one for each run of a sweep: add -m, as in -m {shlex.quote(override)}."


def of_command_line(error: ValueError) -> str:
    """Return in a sentence what Hydra has against the command line as a whole."""
    text = " ".join(str(error).split())
    if text.startswith("Config group override must be"):
        return "a group needs the name of an option, as in method=lora, and a value needs a key."
    return text


def of_hydra_itself(error: Exception, words: Sequence[str]) -> UserError | None:
    """Return the mistake if ``error`` comes of overrides of ``hydra.*``, None if it is a bug.

    Args:
        error: what Hydra raised around what it calls of ours.
        words: the command line.
    """
    own = [word for word in words if re.match(r"[+~]*hydra[./=]", word)]
    if not own or isinstance(error, OSError):
        return None
    said = " ".join(str(error).split()).rstrip(".")
    reason = "leave it out" if isinstance(error, AssertionError) else said
    return UserError(f"Hydra cannot work with {' '.join(own)}: {reason}.")


def _registered(group: str) -> set[str]:
    """Return the names that plugins registered in a group of Hydra's."""
    try:
        names = [name.removesuffix(".yaml") for name in ConfigStore.instance().list(group)]
    except OSError:  # it has none of that group
        return set()
    return {name for name in names if not name.startswith("submitit_")}


def _missing_option(error: MissingConfigException) -> str:
    missing = str(error.missing_cfg_file)
    if missing.startswith("hydra/launcher/submitit_"):
        return NEEDED.format(f"hydra/launcher={missing.rpartition('/')[2]}")
    if missing.startswith("hydra/sweeper/"):
        return OTHER_SWEEPER
    if error.missing_cfg_file is None:
        return (
            "the folder of --config-path is not there or has no train.yaml: leave it out, and add "
            "a folder of your own yaml files with --config-dir."
        )
    group, _, name = (
        missing.rpartition("/") if missing.startswith("hydra/") else missing.partition("/")
    )
    known = sorted({*options(group)} | _registered(group))
    if not name or not known:
        return f"there is no config '{missing}': see python scripts/train.py --help."
    if group == "dataset" and (words := own_words(name)):
        return f"unknown {group} '{name}': {words}."
    choices = ", ".join(known)
    if len(known) > MANY:
        choices = f"the {len(known)} in conf/{group}"
    folder = name.rpartition("/")[0]
    own = [one for one in near(name, known) if option(group, one).get("benchmark") == folder]
    meant = did_you_mean(name, own or known)
    others = ", or any of timm's without batch norms as model=timm model.architecture=<its name>"
    return f"unknown {group} '{name}'{meant}: choose one of {choices}{others * (group == 'model')}."


def _unknown_key(key: str, defaults: DictConfig | None) -> str:
    if key.startswith("hydra.sweeper.params"):
        return (
            f"'{key}' is not set here: values to sweep over are given as -m seed=0,1 (or with a "
            "plus and quotes, as \"+hydra.sweeper.params.seed='0,1'\")."
        )
    if key.startswith("hydra/"):
        return f"Hydra has no group '{key}': see python scripts/train.py --hydra-help."
    if key.startswith("hydra.launcher."):
        return of_a_cluster(key)
    if key.startswith("hydra."):
        unknown = unknown_key_of_hydra(key) or f"there is no key '{key}'"
        return f"{unknown}: see python scripts/train.py --hydra-help."
    if key == PRESETS:
        return f"'{key}' is not part of the defaults: add it with a plus, as +{key}=..."
    if os.path.isdir(CONF / key):
        return (
            f"'{key}' is nothing to choose here: each data set names its own (conf/dataset). "
            "Choose dataset=..., or a preset of several as +experiment=..."
        )
    parent, _, last = key.rpartition(".")
    node = None
    if defaults is not None:
        node = OmegaConf.select(defaults, parent) if parent else defaults
        group, _, tracker = parent.partition(".")
        if node is None and group == TRACKERS and tracker in options(group):
            return f"'{key}' is of {group}={tracker}, which is not chosen: add {group}={tracker}."
        if node is None:
            # The group itself is misspelt: look its name up instead.
            last, node = key.split(".")[0], defaults
        of_others = meant_by_others(key) if not parent else None
        alone = (not parent or node is defaults) and key not in node and not of_others
        if alone and (meant := near_key(key)):
            near_one = f"(did you mean '{meant}'?)"
            return f"unknown key '{key}' {near_one}: see python scripts/train.py --help."
    if not isinstance(node, DictConfig):
        return f"unknown key '{key}': see python scripts/train.py --help."
    if parent and last not in node and _may_be_left_out(key):
        return f"'{key}' is not written in the yaml chosen: add it with a plus, as +{key}=..."
    known = [str(name) for name in node if str(name) != "hydra"]
    return unknown_key(key, last, known)


def _may_be_left_out(key: str) -> bool:
    """Return whether ``key`` has a value in a run's config where no yaml has one."""
    cls: Any = RunConfig
    *groups, last = key.split(".")
    for group in groups:
        cls = get_type_hints(cls).get(group) if is_dataclass(cls) else None
    # A source's own options stand in dataset itself.
    return is_dataclass(cls) and last != "source_options" and last in {f.name for f in fields(cls)}


COMPOSITION_ERRORS = (
    HydraException,
    OmegaConfBaseException,
    ConfigCompositionException,
    yaml.YAMLError,
)
