"""Configs composed of ``conf`` without a command line, for scripts that look something up."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from hydra_peft import checkout
from hydra_peft.cli.hydra_errors import COMPOSITION_ERRORS, one_sentence
from hydra_peft.cli.train import register
from hydra_peft.config.check import check_config
from hydra_peft.config.resolved import Resolved
from hydra_peft.config.schema import RunConfig
from hydra_peft.errors import UserError


@contextmanager
def composing() -> Iterator[Callable[[Sequence[str]], RunConfig]]:
    """Give a function from overrides to the checked config; it raises UserError for mistakes."""
    register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(checkout.CONF), version_base="1.3"):
        yield functools.partial(_checked, Resolved())


def _checked(resolved: Resolved, words: Sequence[str]) -> RunConfig:
    try:
        return check_config(compose("train", [*words]), resolved)
    except COMPOSITION_ERRORS as error:
        raise UserError(one_sentence(error, sweeps=False)) from None
