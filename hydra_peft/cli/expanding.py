"""The words of each job that a sweep's words, typed and of its preset, stand for."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Sequence
from typing import Any, cast

from hydra.core.config_loader import ConfigLoader
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf

from hydra_peft.checkout import CONF
from hydra_peft.cli.hydra_errors import COMPOSITION_ERRORS, one_sentence, several
from hydra_peft.cli.lost_words import check_none_lost
from hydra_peft.cli.mapping_words import check_no_mappings
from hydra_peft.cli.no_sweep import NO_MATCH, no_sweep
from hydra_peft.cli.overrides import SEVERAL, check_choices
from hydra_peft.cli.preset_words import around, laid_over
from hydra_peft.errors import UserError, placed, reason_of

_PARAMS = "hydra.sweeper.params"
#: groups that are settled before a sweep has jobs
_BEFORE_SWEEP = ("hydra", "experiment")
#: groups of settings that a sweep has as a whole, so that no row of it can have its own
_OF_WHOLE_SWEEP = ("sweep", "launcher")


def expand(config: DictConfig, loader: ConfigLoader) -> list[list[str]]:
    """Return the overrides of each job: all combinations, in the order Hydra runs them.

    Those of ``hydra.sweeper.params``, then those of each mapping of ``hydra.sweeper.beside`` laid
    over it, for rows of a table that differ in more than one key. What is typed for a key of such a
    mapping is for the others: it says what that row is.

    Raises:
        UserError: overrides that cannot be understood, or that give no job.
    """
    sweeper = config.hydra.sweeper
    parameters = _mapping(sweeper.params or {}, _PARAMS)
    beside = sweeper.get("beside") or []
    if not isinstance(beside, ListConfig | list):
        raise UserError(f"hydra.sweeper.beside={beside} is no list of mappings of keys to values.")
    more = [_mapping(one, f"hydra.sweeper.beside[{n}]") for n, one in enumerate(beside)]
    # The loader is what globs, such as dataset='glob(*)', are looked up in.
    parser = OverridesParser.create(config_loader=loader)
    typed = _as_typed(config.hydra.overrides.task)
    base = [_parameter(key, value, parser, _PARAMS) for key, value in parameters.items()]
    jobs: list[list[str]] = []
    for number, chosen in enumerate(({}, *more)):
        where = f"hydra.sweeper.beside[{number - 1}]" if chosen else _PARAMS
        own = [_parameter(key, value, parser, where) for key, value in chosen.items()]
        of_preset = own or base
        with placed(f"{where}:"):
            check_no_mappings([*of_preset, *typed])
        check_choices(of_preset)
        check_none_lost(of_preset)
        jobs += _product(laid_over(base, around(own, typed)), parser, loader)
    return jobs


def _key(override: str) -> str:
    """Return the key or group that ``override`` gives a value."""
    return re.split("[=@]", override.lstrip("+~"), maxsplit=1)[0].strip()


def _mapping(found: object, where: str) -> dict[str, object]:
    if not isinstance(found, DictConfig | dict):
        raise UserError(f"{where}={found} is no mapping of keys to values.")
    return {str(key): value for key, value in dict(found).items()}


def _product(
    overrides: list[str], parser: OverridesParser, loader: ConfigLoader
) -> list[list[str]]:
    """Return the overrides of each job that ``overrides``, of which some have several values,
    give."""
    try:
        parsed = parser.parse_overrides(overrides)
        for override in parsed:
            if reason := no_sweep(override):
                raise UserError(reason)
            if (
                override.is_sweep_override()
                and override.key_or_group.partition(".")[0] in _OF_WHOLE_SWEEP
            ):
                raise UserError(several(str(override.input_line), lambda: None))
        _check_globs(parsed, loader)
        # Hydra's own sweeper keeps of words with the same key the last, and a run merges mappings.
        return [list(job) for job in itertools.product(*map(_values, parsed))]
    except COMPOSITION_ERRORS as error:
        raise UserError(one_sentence(error)) from None
    except UserError:
        raise
    except (ValueError, OverflowError) as error:  # such as a range with a step of 0
        raise UserError(f"{' '.join(overrides)} gives no sweep: {reason_of(error)}.") from None


def _values(override: Override) -> list[str]:
    """Return ``override`` with each of its values."""
    if override.is_delete() and override.value() is None:
        return [override.get_key_element()]
    swept = override.is_sweep_override()
    values = override.sweep_string_iterator() if swept else [override.get_value_element_as_str()]
    return [f"{override.get_key_element()}={value}" for value in values]


def _parameter(key: str, value: object, parser: OverridesParser, where: str) -> str:
    """Return the override that ``<where>.<key>`` stands for, checked by itself."""
    override = f"{key}={_text(value)}"
    group = re.split("[./]", _key(override), maxsplit=1)[0]
    if group in _BEFORE_SWEEP or (group in _OF_WHOLE_SWEEP and where != _PARAMS):
        raise UserError(
            f"{where}.{override} is a setting of the whole sweep and not of some of its jobs: type "
            "it, or set it in the preset outside of hydra.sweeper."
        )
    if isinstance(value, ListConfig | list) and key != SEVERAL and os.path.isdir(CONF / key):
        options = ",".join(map(str, value))
        raise UserError(
            f"{where}.{key} is a list where one option is needed: for a job with each, write "
            f"'{key}: {options}'."
        )
    try:
        read = parser.parse_override(override).value()
    except HydraException as error:
        if not isinstance(value, DictConfig | dict):
            reason = " ".join(str(error).splitlines()[0].split()).rstrip(".")
            raise UserError(
                f"{where}.{override} is not understood ({reason}): it must be what could "
                f"be typed as {key}=..., such as '0,1' or 'range(0,3)'."
            ) from None
        read = None
    if isinstance(value, DictConfig | dict) and read != _plain(value):
        raise UserError(
            f"{where}.{key} is a mapping that cannot be typed as it is: write it as a text that "
            'can, such as "{optimizer.lr: [1e-3,5e-3]}".'
        )
    return override


def _text(value: object) -> str:
    """Return a preset's ``value`` as it could be typed."""
    if isinstance(value, DictConfig | dict):
        return Override._get_value_element_as_str(_plain(value))
    return "null" if value is None else str(value)


def _plain(value: DictConfig | dict[str, Any]) -> dict[str, Any]:
    whole = OmegaConf.to_container(OmegaConf.create({"value": value}), resolve=False)
    return cast(dict[str, Any], cast(dict[str, Any], whole)["value"])


def _check_globs(overrides: Sequence[Override], loader: ConfigLoader) -> None:
    """Check that every glob matches options; Hydra has it look at a group, not at its folders."""
    for override in overrides:
        pattern = override.value()
        if not isinstance(pattern, Glob) or any(override.sweep_iterator()):
            continue
        key = override.key_or_group
        inside = [
            f"{folder}/{option}"
            for folder in loader.get_group_options(key, ObjectType.GROUP)
            for option in loader.get_group_options(f"{key}/{folder}")
        ]
        if meant := pattern.filter(inside):
            raise UserError(
                f"'{override.input_line}' matches no option of {key}: name them, as in "
                f"{key}={','.join(meant)}."
            )
        raise UserError(NO_MATCH.format(override.input_line, key))


def _as_typed(overrides: ListConfig) -> list[str]:
    """Return ``overrides`` with their interpolations, which each job resolves for itself."""
    return cast(list[str], OmegaConf.to_container(overrides, resolve=False))
