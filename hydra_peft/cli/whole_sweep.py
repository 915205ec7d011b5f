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
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig

from hydra_peft.cli.hydra_errors import COMPOSITION_ERRORS
from hydra_peft.cli.known_keys import known_key
from hydra_peft.cli.open_keys import is_open

_IS_WHOLE_SWEEP: ContextVar[bool] = ContextVar("is_whole_sweep", default=False)


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
        before = _IS_WHOLE_SWEEP.set(run_mode == RunMode.MULTIRUN)
        try:
            return load(self, config_name, overrides, run_mode, **how)
        finally:
            _IS_WHOLE_SWEEP.reset(before)

    def applied(overrides: list[Override], cfg: DictConfig) -> None:
        is_whole = _IS_WHOLE_SWEEP.get()
        for some in ([one] for one in overrides) if is_whole else [overrides]:
            try:
                apply(some, cfg)
            except COMPOSITION_ERRORS:
                if not is_whole or not _may_be_of_jobs(some[0]):
                    raise

    ConfigLoaderImpl._load_configuration_impl = loaded  # type: ignore[assignment, method-assign]
    ConfigLoaderImpl._apply_overrides_to_config = staticmethod(applied)  # type: ignore[method-assign]


def _may_be_of_jobs(override: Override) -> bool:
    """Whether some option of a group has the key, so that a job may; a slip is told at once."""
    key = override.key_or_group
    return not override.is_hydra_override() and bool(known_key(key) or is_open(key))
