"""OmegaConf's errors as sentences with the full key, what was expected and what to do."""

from __future__ import annotations

import dataclasses
import re
import sys
from enum import Enum
from typing import Any

from omegaconf import ListConfig, Node
from omegaconf.errors import OmegaConfBaseException, ValidationError

from hydra_peft.backbones.arguments import ARGUMENTS
from hydra_peft.checkout import conf_roots, options
from hydra_peft.config.interpolations import ROLE, no_split, unresolved
from hydra_peft.config.other_names import called_by_others, meant_by_others
from hydra_peft.config.plain import CHOSEN, types
from hydra_peft.config.shapes import SINGLE, expected, shown
from hydra_peft.data.sources import sources_with
from hydra_peft.errors import UserError, did_you_mean
from hydra_peft.plain_text import shortened
from hydra_peft.registry import module_names

#: what OmegaConf calls its types
_HINTS = {kind.__name__: words for kind, words in SINGLE.items()} | {"NoneType": "null"}
_KINDS = {"Integer": SINGLE[int], "Float": SINGLE[float], "Boolean": SINGLE[bool]}


def as_sentence(error: OmegaConfBaseException, key: str) -> str:
    """Return ``error`` as a sentence on ``key``, or on the key that the error itself names."""
    reason = str(error).splitlines()[0].rstrip(".")
    if "Missing mandatory value: " in reason:
        missing = reason.rsplit(": ", 1)[1]
        if "." not in missing:  # the error's own key may begin inside of what ``key`` names
            full = str(error.full_key or key)
            missing = key if key.endswith(full) else full
        return f"{missing} has no value: it must be set here, as {missing}=..."
    if (role := ROLE.search(reason)) and "not found" in reason:
        return no_split(str(error.full_key or key), role[1])
    if nowhere := unresolved(error, key):
        return nowhere
    if single := wrong_value(error, key):
        return single
    wrong = re.fullmatch(r"Value '(.*)' of type '\w+' could not be converted to (\w+)", reason)
    if wrong and wrong[2] in _KINDS:  # of a list's item
        return f"{key}={shortened(wrong[1], 100)} is not allowed: it must be {_KINDS[wrong[2]]}."
    union = re.fullmatch(r"Value '(.*?)'(?: of type '\w+')? is inc.* with .*Union\[(.*)\]'", reason)
    if union:
        kinds = [_HINTS.get(kind.strip(), kind.strip()) for kind in union[2].split(",")]
        value = "null" if union[1] == "None" else shortened(union[1], 100)
        return f"{key}={value} is not allowed: it must be {' or '.join(kinds)}."
    return f"{key}: {reason}."


def wrong_value(error: Exception, key: str) -> str | None:
    """Return the sentence on a value of another type than ``key`` has, None if that is not it."""
    if not isinstance(error, ValidationError) or not isinstance(node := error.child_node, Node):
        return None
    kind: Any = node._metadata.ref_type
    if isinstance(node, ListConfig):
        needed = "a list"
    elif isinstance(kind, type) and issubclass(kind, Enum):
        needed = f"one of {', '.join(kind.__members__)}"
    elif kind in SINGLE:
        needed = expected(kind, key, error.value)
    else:
        return None
    if node._metadata.optional and re.fullmatch("(?i)none|~?", str(error.value)):
        needed += " or null"
    return f"{key}={shown(error.value)} is not allowed: it must be {needed}."


def groups_with(key: str) -> list[str]:
    """Return the groups that have ``key``, no key by itself, at least in one of their yamls."""
    if key == "name" or key in types():  # names are what tables know an option by: not to be given
        return []
    line = re.compile(rf"^{re.escape(key)}:", re.MULTILINE)
    return [
        group
        for group, kind in types().items()
        if dataclasses.is_dataclass(kind)
        and (
            key in {field.name for field in dataclasses.fields(kind)}
            or any(
                line.search(file.read_text(encoding="utf-8", errors="replace"))
                for root in conf_roots()
                for file in sorted((root / group).rglob("*.yaml"))
            )
        )
    ]


def unknown_key(full: str, last: str, known: list[str], of: str = "") -> str:
    """Return the sentence on an unknown key, which may be that of a group that was left out, or of
    another one.

    Args:
        full: the key with its groups.
        last: the key without them, for near names.
        known: keys in its place.
        of: whose keys these are, such as ``" of method 'lora'"``.
    """
    group, _, name = full.rpartition(".")
    here = f"known here: {', '.join(known)}" if known else "it has no options"
    if group in CHOSEN and (options_with := _options_with(group, name)):
        which = shortened(", ".join(options_with), 60)
        return f"unknown key '{full}'{of}: it is of {group}={which}; {here}."
    if group in ("", *types()) and (elsewhere := meant_by_others(full)):
        key = called_by_others(full)
        other, _, option = key.partition(".")
        if group == other and group in CHOSEN and option not in known:
            which = shortened(", ".join(_options_with(group, option)), 60)
            elsewhere = f": as {key} it is of {group}={which}"
        return f"unknown key '{full}'{of}{elsewhere}; {here}."
    if group and name in types() and name != "settings":
        return f"unknown key '{full}': it stands without a group, as {name}."
    others = groups_with(name)
    if group not in ("", *types()):  # lora.rank: an option where its group is needed
        inner = group.rpartition(".")[2]  # train.optimizer.lr
        others = [one for one in others if one == inner or group in options(one)]
    meant = [f"{one}.{name}" for one in others if one != group]
    if group in ("", "model") and name in ARGUMENTS:
        meant.append(f"model.arguments.{name}")
    if meant and not group:
        form = " or ".join(meant)
        return f"unknown key '{full}': it stands after the name of its group, as {form}."
    if meant:
        form = "' or '".join(meant)
        return f"unknown key '{full}'{of} (did you mean '{form}'?); {here}."
    if group == "dataset" and (sources := sources_with(name)):
        also = f" (or dataset={', '.join(sources[1:])})" if sources[1:] else ""
        return (
            f"unknown key '{full}': that is of data of your own, which is read with "
            f"dataset={sources[0]} {full}=...{also}; {here}."
        )
    if not known:
        return f"unknown key '{full}'{of}: {full.rpartition('.')[0]} has no options."
    return f"unknown key '{full}'{of}{did_you_mean(last, known)}; {here}."


def _options_with(group: str, name: str) -> list[str]:
    """Return the options of ``group``, whose class is chosen by name, that have key ``name``."""
    find: Any = CHOSEN[group][0]
    options = module_names(sys.modules[find.__module__])
    return [one for one in options if name in {f.name for f in dataclasses.fields(find(one))}]


def check_package(full: str, value: object, known: list[str]) -> None:
    """Check that an unknown key is no folder of yaml files that one of its group builds on.

    Args:
        full: the key with its group, such as ``dataset.mini``.
        value: its value.
        known: keys in its place.

    Raises:
        UserError: it is; Hydra puts what stands in ``mini/digits.yaml`` below ``mini``.
    """
    group, _, folder = full.rpartition(".")
    if isinstance(value, dict) and len(value.keys() & set(known)) > 1:
        raise UserError(
            f"unknown key '{full}', which holds keys of {group}: in its defaults list a yaml names "
            f"one of another folder as {folder}/<name>@_here_."
        )
