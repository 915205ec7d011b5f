"""``init_from`` as it is typed: the folder of a run, or the task whose run is taken."""

from __future__ import annotations

import dataclasses

from hydra_peft.config.schema import InitFrom, RunConfig
from hydra_peft.config.typed import typed
from hydra_peft.errors import UserError
from hydra_peft.plain_text import quoted

#: what begins an ``init_from`` that names the task of the run and not its folder
_TASK = "task:"
#: parts of hubs' and other addresses, which are not looked up, and of no path at all
_NO_PLACE = ("\0", "://")


def task_of_start(value: object) -> str:
    """Return the task of ``init_from=task:<name>``; empty where ``value`` is anything else."""
    return value.removeprefix(_TASK) if isinstance(value, str) and value.startswith(_TASK) else ""


def start_of(value: object) -> InitFrom | str | None:
    """Return the start that ``init_from`` names: by a run's folder or, recorded, by all of it.

    One that is named by its task stays as it is: it depends on the rest of the config.

    Raises:
        UserError: it names none, or that run cannot be started from.
    """
    from hydra_peft.runs.starting import origin_of_start  # records are read there

    if isinstance(value, dict) and value.keys() == {f.name for f in dataclasses.fields(InitFrom)}:
        return typed(InitFrom, value, "init_from")
    if value is None or (isinstance(value, str) and task_of_start(value)):
        return value
    if not isinstance(value, str) or not value.strip() or _names_no_folder(value):
        raise UserError(
            f"init_from={quoted(value)} is not allowed: it must be the folder of a run, or task: "
            "and the name of a task of the same benchmark."
        )
    return origin_of_start(value)


def without_start(config: RunConfig) -> RunConfig:
    """Return the run that starts from a fresh adapter, and is ``config`` otherwise."""
    settings = {k: v for k, v in config.settings.items() if not k.startswith("init_from.")}
    return dataclasses.replace(config, init_from=None, settings=settings)


def _names_no_folder(value: str) -> bool:
    """Whether ``value`` is ``task:`` without a task, or what no folder of a run is typed with."""
    return value == _TASK or any(part in value for part in _NO_PLACE)
