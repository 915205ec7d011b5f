"""The jobs of a sweep, composed and checked; what jobs share is composed once."""

from __future__ import annotations

import copy
import dataclasses
import functools
import re
from collections.abc import Sequence
from typing import Any, cast

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from hydra_peft.cli.hydra_errors import COMPOSITION_ERRORS, one_sentence
from hydra_peft.cli.overrides import check_overrides
from hydra_peft.config.check import check_config
from hydra_peft.config.resolved import Resolved
from hydra_peft.config.starts import task_of_start, without_start
from hydra_peft.errors import UserError, WaitsForRun
from hydra_peft.runs.first_look import look_first
from hydra_peft.sweeps.job import Composition, Job

#: interpolation of a group's option, and one that is a function of some such as a whole
_REFERENCE = re.compile(r"\$\{([\w/]+)\}")
_CALL = re.compile(r"\$\{[\w.]+:([^{}]|\$\{[\w/]+\})*\}")


def compositions(
    config: DictConfig, loader: ConfigLoader, jobs: Sequence[Sequence[str]]
) -> list[Composition]:
    """Return every job of ``jobs`` composed and checked; one that cannot be says why.

    Nothing of it loads torch, so that mistakes are told at once: what devices decide is put in by
    :func:`on_devices`.

    Args:
        config: the sweep's own, Hydra's node included.
        loader: what composed it.
        jobs: the overrides of each.
    """
    composer = Composer(loader, config)
    return [composer.compose(job) for job in jobs]


def looked_at_first(found: Sequence[Composition], *, elsewhere: bool = False) -> list[Composition]:
    """Return ``found``; a job that needs what is not there says so, and is no more than that.

    See :func:`hydra_peft.runs.first_look.look_first`.
    """
    return [_looked_at(composition, elsewhere) for composition in found]


def _looked_at(composition: Composition, elsewhere: bool) -> Composition:
    if composition.config is None:
        return composition
    try:
        look_first(composition.config, elsewhere=elsewhere)
    except UserError as error:
        return Composition(composition.job, None, str(error))
    return composition


def on_devices(found: Sequence[Composition]) -> list[Composition]:
    """Return ``found`` with what the devices here decide: see ``on_device``; it loads torch."""
    from hydra_peft.runs.on_device import on_device

    return [
        dataclasses.replace(
            Composition.of(composition.job.overrides, on_device(composition.config)),
            starts_from=composition.starts_from,
            alone=composition.alone,
        )
        if composition.config
        else composition
        for composition in found
    ]


@dataclasses.dataclass(frozen=True)
class _Options:
    """Config composed of options chosen in groups, without overrides of single values.

    Attributes:
        config: nothing resolved, Hydra's node left out.
        choices: the option of every group, those that a defaults list chose included.
    """

    config: DictConfig
    choices: dict[str, Any]

    @functools.cached_property
    def values(self) -> dict[str, Any]:
        """The config as plain values, nothing resolved."""
        return cast(dict[str, Any], OmegaConf.to_container(self.config, resolve=False))

    def copied(self) -> DictConfig:
        """Return a copy of the config, for values to be set in."""
        return copy.deepcopy(self.config)

    def differences(self, other: _Options) -> tuple[set[str], set[str]]:
        """Return the top-level keys, and the groups, that ``other`` has otherwise."""
        return (
            _differences(self.values, other.values),
            _differences(self.choices, other.choices),
        )


def _differences(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
    # repr tells 1 from 1.0 and true
    return {k for k in one.keys() | other.keys() if repr(one.get(k)) != repr(other.get(k))}


class Composer:
    """Composes jobs of one sweep; what they share, the options chosen in groups, only once.

    Args:
        loader: Hydra's.
        config: the sweep's own, Hydra's node included.
    """

    def __init__(self, loader: ConfigLoader, config: DictConfig) -> None:
        self._loader = loader
        self._config = config
        self._composed: dict[tuple[str, ...], _Options] = {}
        self._parsed: dict[str, Override] = {}
        self._global: dict[tuple[str, str], frozenset[str]] = {}
        self._parser = OverridesParser.create()
        self._resolved = Resolved()

    def compose(self, overrides: Sequence[str]) -> Composition:
        """Return the job with ``overrides``, or why it cannot be."""
        try:
            check_overrides(overrides)
            composed = self._compose(overrides)
            checked = check_config(composed, self._resolved, changeable=True)
        except WaitsForRun as error:
            job = Job(tuple(overrides))
            return Composition(job, None, str(error), error.task, error.config)
        except UserError as error:
            return Composition(Job(tuple(overrides)), None, str(error))
        except COMPOSITION_ERRORS as error:
            return Composition(Job(tuple(overrides)), None, one_sentence(error))
        found = Composition.of(overrides, checked)
        task = task_of_start(OmegaConf.select(composed, "init_from"))
        if not task or checked.init_from is None:
            return found
        starts_from = f"{checked.dataset.benchmark}/{task}"
        return dataclasses.replace(found, starts_from=starts_from, alone=without_start(checked))

    def _compose(self, overrides: Sequence[str]) -> DictConfig:
        if self._config.hydra.searchpath:
            return self._from_scratch(overrides).config
        parsed = [self._parse(word) for word in overrides]
        values = [override for override in parsed if self._is_value(override)]
        options = tuple(w for w, o in zip(overrides, parsed, strict=True) if not self._is_value(o))
        found = self._options(options)
        composed = found.copied()
        # As Hydra itself does it, after the options have been put together.
        try:
            ConfigLoaderImpl._apply_overrides_to_config(values, composed)
        except COMPOSITION_ERRORS as error:
            said = one_sentence(error, lambda: found.config)
            raise UserError(said + self._advice_on_preset(said)) from None
        return composed

    def _advice_on_preset(self, said: str) -> str:
        """Return what to do about a key that a job does not have and a preset gives."""
        unknown = re.match(r"unknown key '([^']+)'", said)
        params = self._config.hydra.sweeper.params or {}
        if unknown is None or unknown[1] not in params:
            return ""
        return f" The preset's sweep gives it: add '~{unknown[1]}' to take it off."

    def _parse(self, word: str) -> Override:
        if word not in self._parsed:
            self._parsed[word] = self._parser.parse_override(word)
        return self._parsed[word]

    def _is_value(self, override: Override) -> bool:
        """Whether ``override`` changes a value and no choice that others may depend on."""
        if override.is_sweep_override() or override.key_or_group.split(".")[0] == "hydra":
            return False
        assert isinstance(self._loader, ConfigLoaderImpl)
        is_group = self._loader.repository.group_exists(override.key_or_group)
        return not is_group and override.package is None

    def _options(self, words: tuple[str, ...]) -> _Options:
        if words not in self._composed:
            self._composed[words] = self._put_together(words) or self._from_scratch(words)
        return self._composed[words]

    def _put_together(self, words: tuple[str, ...]) -> _Options | None:
        """Return the options ``words`` from those of jobs that differ from the first by one word.

        Five methods on nineteen tasks are composed of 23 and not of 95. None where words may act
        on each other: two of them change the same key or choice, or are asked for together.
        """
        first = next(iter(self._composed), ())
        places = [i for i, pair in enumerate(zip(words, first, strict=False)) if len(set(pair)) > 1]
        if len(words) != len(first) or len(places) < 2:
            return None
        changed = {self._parse(words[place]).key_or_group for place in places}
        if any(len(groups & changed) > 1 for groups in self._asked_together):
            return None
        base = self._composed[first]
        config, choices = base.copied(), dict(base.choices)
        seen: set[str] = set()
        for place in places:
            if self._parse(words[place]).key_or_group != self._parse(first[place]).key_or_group:
                return None
            alone = self._options((*first[:place], words[place], *first[place + 1 :]))
            keys, groups = base.differences(alone)
            # What an option is laid over may have had its values already.
            both = [(g, one.choices.get(g)) for g in groups for one in (base, alone)]
            touched = keys.union(groups, *(self._laid_over(*choice) for choice in both))
            if touched & seen or alone.values.keys() != base.values.keys():
                return None
            seen |= touched
            for key in keys:
                config[key] = alone.config._get_node(key)
            choices |= {group: alone.choices.get(group) for group in groups}
        return _Options(config, choices)

    def _laid_over(self, group: str, option: Any) -> frozenset[str]:
        """Return the top-level keys that an option in the package of all others has values for."""
        choice = (group, str(option))
        if choice not in self._global:
            assert isinstance(self._loader, ConfigLoaderImpl)
            found = self._loader.repository.load_config("/".join(choice))
            is_global = found is not None and found.header.get("package") == "_global_"
            self._global[choice] = frozenset(map(str, found.config) if found and is_global else ())
        return self._global[choice]

    @functools.cached_property
    def _asked_together(self) -> list[set[str]]:
        """Groups that one function in the defaults list looks at to choose an option of another.

        Two of them may choose together what neither does alone, and then no choice shows it.
        """
        assert isinstance(self._loader, ConfigLoaderImpl)
        root = self._loader.repository.load_config(self._config.hydra.job.config_name)
        listed = (root.defaults_list if root else None) or ()
        values = [str(getattr(one, "value", "")) for one in listed]
        return [set(_REFERENCE.findall(value)) for value in values if _CALL.fullmatch(value)]

    def _from_scratch(self, overrides: Sequence[str]) -> _Options:
        composed = self._loader.load_sweep_config(self._config, list(overrides))
        choices = OmegaConf.to_container(composed.hydra.runtime.choices)
        config = OmegaConf.masked_copy(composed, [str(k) for k in composed if k != "hydra"])
        OmegaConf.set_struct(config, True)  # as it was: a copy of some keys forgets that
        return _Options(config, cast(dict[str, Any], choices))
