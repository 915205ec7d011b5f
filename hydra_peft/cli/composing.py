"""The jobs of a sweep, composed and checked; read back where nothing they are made of changed."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, cast

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, RangeSweep
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hydra_peft.cli.hydra_errors import COMPOSITION_ERRORS, one_sentence
from hydra_peft.cli.overrides import check_overrides
from hydra_peft.config.check import check_config
from hydra_peft.config.resolvers import without_devices
from hydra_peft.config.schema import RunConfig
from hydra_peft.errors import UserError
from hydra_peft.runs.first_look import look_first
from hydra_peft.sweeps.compositions import (
    Composition,
    compositions_file,
    is_fixed,
    key_of,
    read_compositions,
    write_compositions,
)
from hydra_peft.sweeps.job import Job

PACKAGE = Path(__file__).resolve().parent.parent
#: sources of Hydra that a release of it settles, or our code
_SETTLED = ("pkg://hydra.conf", "structured://")
#: what to do about runs there are changes nothing about them, so it is left out of what is kept
_POLICIES = "sweep."
#: by which conf leaves the precision to the device
_FASTEST = "${fastest_precision"
_ONLY_DEFAULT = '"precision": "${fastest_precision:${device}}"'
#: more values than this in one range are a slip of the keyboard
MAX_JOBS = 100_000


def expand(config: DictConfig, loader: ConfigLoader) -> list[list[str]]:
    """Return the overrides of each job: all combinations, in the order Hydra runs them.

    Raises:
        UserError: overrides that cannot be understood, or that give no job.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    parameters = config.hydra.sweeper.params or {}
    if not isinstance(parameters, DictConfig | dict):
        raise UserError(f"hydra.sweeper.params={parameters} is no mapping of keys to values.")
    # The loader is what globs, such as dataset='glob(*)', are looked up in.
    parser = OverridesParser.create(config_loader=loader)
    overrides = [_parameter(str(key), value, parser) for key, value in dict(parameters).items()]
    overrides += _as_typed(config.hydra.overrides.task)
    try:
        parsed = parser.parse_overrides(overrides)
        _check_ranges(parsed)
        jobs = [job for batch in BasicSweeper.split_arguments(parsed, None) for job in batch]
    except COMPOSITION_ERRORS as error:
        raise UserError(one_sentence(error)) from None
    except UserError:
        raise
    except (ValueError, OverflowError) as error:  # such as a range with a step of 0
        raise UserError(f"{' '.join(overrides)} gives no sweep: {error}.") from None
    if not jobs:
        raise UserError(
            f"{' '.join(overrides)} gives no job: a range is empty, or a glob matches nothing."
        )
    return jobs


def _parameter(key: str, value: object, parser: OverridesParser) -> str:
    """Return the override that ``hydra.sweeper.params.<key>`` stands for, checked by itself."""
    override = f"{key}={value}"
    try:
        parser.parse_override(override)
    except HydraException as error:
        reason = " ".join(str(error).splitlines()[0].split()).rstrip(".")
        raise UserError(
            f"hydra.sweeper.params.{override} is not understood ({reason}): it must be what could "
            f"be typed as {key}=..., such as '0,1' or 'range(0,3)'."
        ) from None
    return override


def _check_ranges(overrides: Sequence[Override]) -> None:
    """Check that every sweep is one over values, of which no range has too many, unlisted."""
    for override in overrides:
        if override.is_interval_sweep():
            raise UserError(
                f"'{override.input_line}' names no values: interval() is for searches that draw "
                "from it; give a list (0,1,2), range(0,3) or choice(0,1), or set "
                "protocol.tune=true protocol.search=optuna to draw hyper-parameters."
            )
        if not override.is_range_sweep():
            continue
        values = cast(RangeSweep, override.value())
        start, stop = float(values.start or 0), float(values.stop or 0)
        if values.step == 0 or abs(stop - start) > MAX_JOBS * abs(values.step):
            raise UserError(
                f"'{override.input_line}' has more than {MAX_JOBS:,} values, or no end at all."
            )


def _as_typed(overrides: ListConfig) -> list[str]:
    """Return ``overrides`` with their interpolations, which each job resolves for itself."""
    return cast(list[str], OmegaConf.to_container(overrides, resolve=False))


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
    policies = _common_policies(jobs)
    bare = [[word for word in job if word not in policies] for job in jobs]
    composer = Composer(loader, config)
    file = _file(config, loader, bare)
    found = read_compositions(file, bare) if file else None
    with without_devices():
        if found is None:
            found = [composer.compose(job) for job in bare]
            if file:
                write_compositions(file, found)
        return _with_policies(found, jobs, composer) if policies else found


def looked_at_first(found: Sequence[Composition]) -> list[Composition]:
    """Return ``found``; a job that needs what is not there says so, and is no more than that.

    See :func:`hydra_peft.runs.first_look.look_first`.
    """
    return [_looked_at(composition) for composition in found]


def _looked_at(composition: Composition) -> Composition:
    if composition.config is None:
        return composition
    try:
        look_first(composition.config)
    except UserError as error:
        return Composition(composition.job, None, str(error))
    return composition


def on_devices(found: Sequence[Composition]) -> list[Composition]:
    """Return ``found``, the precision of the devices here put in where a job leaves it to them."""
    return [
        dataclasses.replace(c, config=_on_device(c.job, c.config)) if c.config else c for c in found
    ]


def _on_device(job: Job, config: RunConfig) -> RunConfig:
    if _FASTEST not in job.config:
        return config
    from hydra_peft.training.devices import fastest_precision  # here, since it loads torch

    precision = fastest_precision(config.device)
    if precision == config.precision:
        return config
    if _ONLY_DEFAULT not in job.config or job.config.count("precision") > 2:
        return check_config(OmegaConf.create(json.loads(job.config)))  # something else has it too
    settings = {**config.settings, "precision": precision}
    return dataclasses.replace(config, precision=precision, settings=settings)


def _common_policies(jobs: Sequence[Sequence[str]]) -> set[str]:
    """Return the overrides of ``sweep.*`` that all jobs share."""
    words = {word for word in jobs[0] if word.startswith(_POLICIES)} if jobs else set()
    return {word for word in words if all(word in job for job in jobs)}


def _with_policies(
    found: list[Composition], jobs: Sequence[Sequence[str]], composer: Composer
) -> list[Composition]:
    """Put the policies that were left out into all ``found``; one job is composed to have them."""
    whole = [Job(tuple(words), c.job.config) for c, words in zip(found, jobs, strict=True)]
    first = next((i for i, c in enumerate(found) if c.config is not None), None)
    if first is None:
        return [dataclasses.replace(c, job=job) for c, job in zip(found, whole, strict=True)]
    sample = composer.compose(jobs[first])
    if sample.config is None:  # a mistake in the policies is one in every job
        return [
            Composition(job, None, c.reason or sample.reason)
            for c, job in zip(found, whole, strict=True)
        ]
    sweep, raw = sample.config.sweep, json.loads(sample.job.config)["sweep"]
    return [
        Composition(
            dataclasses.replace(job, config=json.dumps({**json.loads(job.config), "sweep": raw})),
            dataclasses.replace(c.config, sweep=sweep),
        )
        if c.config is not None
        else dataclasses.replace(c, job=job)
        for c, job in zip(found, whole, strict=True)
    ]


class Composer:
    """Composes jobs of one sweep; what they share, the options chosen in groups, only once.

    Args:
        loader: Hydra's.
        config: the sweep's own, Hydra's node included.
    """

    def __init__(self, loader: ConfigLoader, config: DictConfig) -> None:
        self._loader = loader
        self._config = config
        self._bases: dict[tuple[str, ...], DictConfig] = {}
        self._parsed: dict[str, Override] = {}
        self._parser = OverridesParser.create()

    def compose(self, overrides: Sequence[str]) -> Composition:
        """Return the job with ``overrides``, or why it cannot be."""
        text = ""
        try:
            check_overrides(overrides)
            composed = self._compose(overrides)
            text = json.dumps(OmegaConf.to_container(composed, resolve=False))
            checked = check_config(composed)
        except UserError as error:
            return Composition(Job(tuple(overrides), text), None, str(error))
        except COMPOSITION_ERRORS as error:
            return Composition(Job(tuple(overrides), text), None, one_sentence(error))
        return Composition(Job(tuple(overrides), text), checked)

    def _compose(self, overrides: Sequence[str]) -> DictConfig:
        if self._config.hydra.searchpath:
            return self._from_scratch(overrides)
        parsed = [self._parse(word) for word in overrides]
        values = [override for override in parsed if self._is_value(override)]
        options = [w for w, o in zip(overrides, parsed, strict=True) if not self._is_value(o)]
        base = self._bases.get(tuple(options))
        if base is None:
            base = self._bases[tuple(options)] = self._from_scratch(options)
        composed = copy.deepcopy(base)
        # As Hydra itself does it, after the options have been put together.
        ConfigLoaderImpl._apply_overrides_to_config(values, composed)
        return composed

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

    def _from_scratch(self, overrides: Sequence[str]) -> DictConfig:
        composed = self._loader.load_sweep_config(self._config, list(overrides))
        return OmegaConf.masked_copy(composed, [str(k) for k in composed if k != "hydra"])


def _file(config: DictConfig, loader: ConfigLoader, jobs: Sequence[Sequence[str]]) -> Path | None:
    """Return where these jobs are kept; None if what they are made of cannot be told."""
    inputs = _inputs(config, loader, jobs)
    try:
        cache = OmegaConf.select(config, "paths.cache")
    except OmegaConfBaseException:
        return None
    # What is no path is told of when the jobs are checked.
    if inputs is None or not isinstance(cache, str) or not cache.strip() or "\0" in cache:
        return None
    return compositions_file(Path(cache).expanduser(), key_of(inputs))


def _inputs(
    config: DictConfig, loader: ConfigLoader, jobs: Sequence[Sequence[str]]
) -> dict[str, Any] | None:
    """Return everything that ``jobs`` are composed and checked from."""
    hydra = _as_typed(config.hydra.overrides.hydra)
    if config.hydra.searchpath or not is_fixed([*hydra, *{word for job in jobs for word in job}]):
        return None
    sources = [(s.provider, s.full_path()) for s in loader.get_sources()]
    folders = [path for _, path in sources if path not in _SETTLED]
    if not all(path.startswith("file://") for path in folders):
        return None
    texts = [_texts(Path(path.removeprefix("file://")), "*.y*ml") for path in folders]
    if not is_fixed(text for folder in texts for text in folder.values()):
        return None
    return {
        "sources": sources,
        "conf": texts,
        "code": _hash(_texts(PACKAGE, "*.py")),
        "versions": [platform.python_version(), *_versions()],
        "plugins": sorted(Plugins.instance().class_name_to_class),
        "home": str(Path("~").expanduser()),
        "name": config.hydra.job.config_name,
        "hydra": hydra,
        "jobs": [list(job) for job in jobs],
    }


def _versions() -> list[str]:
    return [metadata.version(name) for name in ("hydra-core", "omegaconf", "PyYAML")]


def _texts(folder: Path, pattern: str) -> dict[str, str]:
    files = sorted(path for path in folder.rglob(pattern) if path.is_file())
    return {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8", errors="replace")
        for path in files
    }


def _hash(texts: dict[str, str]) -> str:
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()
