"""The config of a sweep as a whole, which Hydra composes before there are jobs.

Of what is typed it has the words with one value, laid over the options that nothing was typed for:
a word about a method among several, or about one that a preset chooses, finds another method there.
What a word does is seen in the jobs, which have all of them.
"""

from __future__ import annotations

import functools
from contextvars import ContextVar
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig

from hydra_peft.cli.hydra_errors import COMPOSITION_ERRORS
from hydra_peft.cli.known_keys import known_key
from hydra_peft.cli.open_keys import is_open

#: groups whose options the jobs choose, while such a config is composed
_OF_JOBS: ContextVar[set[str] | None] = ContextVar("of_jobs", default=None)


@functools.cache
def leave_words_to_jobs() -> None:
    """Let Hydra pass over words that a sweep as a whole cannot take, but for its own settings."""
    load, apply = (
        ConfigLoaderImpl._load_configuration_impl,
        ConfigLoaderImpl._apply_overrides_to_config,
    )

    def loaded(
        self: ConfigLoaderImpl,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        **how: Any,
    ) -> DictConfig:
        of_jobs = _several(overrides) if run_mode == RunMode.MULTIRUN else None
        before = _OF_JOBS.set(of_jobs)
        try:
            return load(self, config_name, overrides, run_mode, **how)
        finally:
            _OF_JOBS.reset(before)

    def applied(overrides: list[Override], cfg: DictConfig) -> None:
        of_jobs = _OF_JOBS.get()
        for some in [overrides] if of_jobs is None else ([one] for one in overrides):
            try:
                apply(some, cfg)
            except COMPOSITION_ERRORS:
                if of_jobs is None or not _may_be_of_jobs(some[0], of_jobs | _of_preset(cfg)):
                    raise

    ConfigLoaderImpl._load_configuration_impl = loaded  # type: ignore[assignment, method-assign]
    ConfigLoaderImpl._apply_overrides_to_config = staticmethod(applied)  # type: ignore[method-assign]


def _several(words: list[str]) -> set[str]:
    """Return the keys of ``words`` that have several values."""
    found = OverridesParser.create().parse_overrides(words)
    return {override.key_or_group for override in found if override.is_sweep_override()}


def _of_preset(cfg: DictConfig) -> set[str]:
    """Return the keys that the sweep of a preset has values for."""
    sweeper = cfg.hydra.sweeper
    rows = [sweeper.get("params"), *(sweeper.get("beside") or [])]
    return {str(key) for row in rows if isinstance(row, DictConfig) for key in row}


def _may_be_of_jobs(override: Override, of_jobs: set[str]) -> bool:
    """Whether a job may have the key, of an option that it chooses ``of_jobs``, or as some option
    of the group has it; another slip is told at once."""
    key = override.key_or_group
    is_known = key.partition(".")[0] in of_jobs or known_key(key) or is_open(key)
    return not override.is_hydra_override() and bool(is_known)
