"""Overrides that would change what a name stands for are refused."""

from __future__ import annotations

import os.path
from collections.abc import Iterable
from dataclasses import fields

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, Sweep
from hydra.errors import HydraException

from hydra_peft.checkout import CONF
from hydra_peft.config.schema import RunConfig
from hydra_peft.errors import UserError
from hydra_peft.plain_text import quoted

#: Hydra looks for a group of that name, and no file's name may be longer
MAX_KEY = 255

#: the group of which one run takes several options
SEVERAL = "logger"
NO_TRACKER = f"'{{}}': for a run without a tracker, type {SEVERAL}=[]."

#: what is typed for none of them
_NONE = (None, False, "none", "off", "no")
#: keys by which tables know a group's option
_NAMES = {
    **{"method": ("name",), "model": ("name",), "dataset": ("benchmark", "group", "name")},
    **dict.fromkeys(("head", "optimizer", "scheduler"), ("name",)),
}
#: groups of which every run has one option, in the defaults of conf/train.yaml
_GROUPS = {one.name for one in fields(RunConfig) if os.path.isdir(CONF / one.name)} - {SEVERAL}
#: their values where a yaml leaves them to who uses it: ``dataset=folder``, ``model=transformers``
_OPEN = (None, "own", "???")
#: groups whose option the defaults list finds by others
_FOLLOWING = {
    "benchmark_protocol": "data set and protocol",
    "method_recipe": "method and protocol",
}
#: keys of a protocol that are asked for beside its name
_FREE = ("protocol.tune", "protocol.grid", "protocol.search", "protocol.trial")


def check_overrides(overrides: Iterable[str]) -> None:
    """Check that no override changes what a name stands for instead of what a run does.

    Raises:
        UserError: one does; a table could not tell such a run from one of the recipe or protocol.
            Or it is no text.
    """
    overrides = list(overrides)
    for override in overrides:
        # Of recipe@dataset.recipe=neutral what counts is where it goes.
        key = override.lstrip("+~").split("=")[0].strip().rpartition("@")[2]
        group, _, last = key.partition(".")
        if last in _NAMES.get(group, ()) and not _leaves_open(overrides, group, last):
            raise UserError(
                f"'{override}' would give one {group} another's name, by which tables know it: "
                f"choose one as {group}=<name>, or write a new one as conf/{group}/<name>.yaml."
            )
        if any("\ud800" <= character <= "\udfff" for character in override):
            raise UserError(
                f"{quoted(override)} is no text in UTF-8, and a run's config is written in it: "
                "rename the file or folder that it names."
            )
        if key.startswith(("dataset.recipe", "dataset.versions")) or key == "method.recipe":
            raise UserError(
                f"'{override}' would change the task's recommendation: override what the run "
                "takes from it, such as optimizer.lr, train.epochs or method.dropout."
            )
        if key.startswith("protocol.fills"):
            raise UserError(
                f"'{override}' would change the protocol under its name: override what the run "
                "takes from it, such as method.init, model.drop_path or data.normalization."
            )
        if key in _FOLLOWING:
            raise UserError(
                f"'{override}': {key} follows from {_FOLLOWING[key]}, and is nothing to choose: "
                "override what the run takes from it, such as optimizer.lr or train.epochs."
            )
        if key == "protocol.name":
            raise UserError(
                f"'{override}' would give one protocol another's name: choose one as "
                "protocol=<name>, or write a new one as conf/protocol/<name>.yaml."
            )
        if key.startswith("protocol.") and not key.startswith(_FREE):
            raise UserError(
                f"'{override}' would change the protocol under its name: choose another as "
                "protocol=<name>, or write a new one as conf/protocol/<name>.yaml."
            )


def _leaves_open(overrides: Iterable[str], group: str, key: str) -> bool:
    """Whether the option of ``group`` that is chosen is one of the user's own, or leaves ``key``
    to the command line."""
    chosen = [word.partition("=")[2] for word in overrides if word.startswith(f"{group}=")]
    file = CONF / group / f"{chosen[-1] if chosen else ''}.yaml"
    if not chosen or not os.path.isfile(file):
        return bool(chosen)
    with open(file, encoding="utf-8") as text:
        return yaml.safe_load(text).get(key) in _OPEN


def check_choices(words: Iterable[str]) -> None:
    """Check that each group gets one option a run, but ``logger``, which takes several.

    Of a list of others Hydra would take the last alone.

    Raises:
        UserError: a list of options where one is needed, a sweep over presets, which are sweeps
            themselves, or over trackers, or a key that is longer than any.
    """
    parser = OverridesParser.create()
    presets: list[str] = []
    for word in words:
        try:
            override = parser.parse_override(word)
        except HydraException:
            continue  # Hydra says itself what it does not understand
        if not override.is_delete() and holds_sweep(override.value()):
            raise UserError(
                f"'{word}': range(), choice() and the like give each run of a "
                "sweep its value, and none within a list or mapping: write the values out."
            )
        group = override.key_or_group
        if len(group) > MAX_KEY:
            raise UserError(f"unknown key '{group[:40]}...': no key is that long.")
        if not (group.startswith("hydra/") or (group and os.path.isdir(CONF / group))):
            continue
        _check_needed(word, override)
        listed = next((value for value in values_of(override) if isinstance(value, list)), None)
        if group == "experiment" and not override.is_delete():
            presets.append(word)
            several = listed is not None or override.is_sweep_override()
            if several or len(presets) > 1:
                raise UserError(
                    f"'{' '.join(presets)}' names several presets, and each is a sweep of its own: "
                    "give each a command."
                )
        if group == SEVERAL and override.is_sweep_override():
            options = ",".join(dict.fromkeys(_options(override)))
            raise UserError(
                f"'{word}' names several trackers as jobs of a sweep, and they change no run: "
                f"for runs with each of them, type {group}=[{options}]."
            )
        if listed is not None and group != SEVERAL:
            raise UserError(_one_needed(word, group, _options(override)))


def _one_needed(word: str, group: str, options: list[str]) -> str:
    """Return the sentence on a list of ``options``, where ``group`` has one a run."""
    form = f"{group}={','.join(options) or '<name>'}"
    if len(options) < 2:
        return f"'{word}' is a list where one is needed: type {form}."
    of_hydra = group.startswith("hydra/")
    advice = "choose one" if of_hydra else f"for one run with each, type -m {form}"
    return f"'{word}' names several options where one is needed: {advice}."


def _check_needed(word: str, override: Override) -> None:
    """Check that a group that every run has is neither taken away nor added, nor set to nothing;
    trackers may be taken away."""
    group = override.key_or_group
    none = not override.is_delete() and any(one in _NONE for one in _named(override))
    if group == SEVERAL and none:
        raise UserError(NO_TRACKER.format(word))
    added = override.is_add() or override.is_force_add()
    needed = group in _GROUPS and override.is_delete()
    if (needed or (added and group in (*_GROUPS, SEVERAL))) and override.package is None:
        option = word.partition("=")[2]
        if option.startswith("[") and group != SEVERAL:
            raise UserError(_one_needed(word, group, _options(override)))
        chosen = f"{group}={'<name>' if override.is_delete() or not option else option}"
        many = "options" if group == SEVERAL else "one option"
        raise UserError(f"'{word}': every run has {many} of {group}; choose it as {chosen}.")


def holds_sweep(value: object, *, within: bool = False) -> bool:
    """Whether a list or mapping has values within that Hydra takes for a sweep's alone."""
    if isinstance(value, list | dict):
        inside = value.values() if isinstance(value, dict) else value
        return any(holds_sweep(one, within=True) for one in inside)
    return within and isinstance(value, Sweep)


def _options(override: Override) -> list[str]:
    """Return the names of options that ``override`` gives its group."""
    return [str(name) for name in _named(override)]


def _named(override: Override) -> list[object]:
    parts = (one if isinstance(one, list) else [one] for one in values_of(override))
    return [name for one in parts for name in one]


def values_of(override: Override) -> list[object]:
    """Return the values that ``override`` gives its key: several in a sweep."""
    value = override.value()
    return list(value.list) if isinstance(value, ChoiceSweep) else [value]
