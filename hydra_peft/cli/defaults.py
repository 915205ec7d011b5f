"""Default settings and hyper-parameters of runs, composed from ``conf``, for tables to compare
with."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hydra_peft.checkout import option, options
from hydra_peft.cli.composed import composing
from hydra_peft.config.grid import COARSE_TO_FINE, RATE_AND_DECAY
from hydra_peft.config.schema import SEARCHES, RunConfig
from hydra_peft.data.split_roles import role_of
from hydra_peft.errors import UserError
from hydra_peft.tables.overrides import Origin, by_role

#: what a search goes through where its benchmark has another grid: rows name their own beside it
_OTHER_GRID = [f"protocol.grid={{{','.join(f'{k}:[1.0]' for k in RATE_AND_DECAY)}}}"]


def default_settings(origins: Iterable[Origin]) -> dict[Origin, dict[str, Any]]:
    """Return the settings of a run of each origin to which nothing was said beside.

    The splits of its protocol are by their roles, as :func:`by_role` makes them. Variants of its
    method are beside it, as origins of their own.

    Origins that ``conf`` has no protocol or method for are left out, and so are those that it
    refuses; of a benchmark it need not know, since settings leave out what is the task's.
    """
    found = {}
    with composing() as compose:
        for origin in sorted(set(origins), key=repr):
            if (config := _composed(compose, origin)) is None:
                continue
            roles = dataclasses.asdict(config.dataset.splits)
            settings = by_role(config.settings, functools.partial(role_of, roles=roles))
            if origin.model not in options("model"):
                # Of any other timm model the name is the architecture.
                settings["model.architecture"] = origin.model
            found[origin] = settings
            for variant, own in _variants(origin.method).items():
                found[dataclasses.replace(origin, variant=variant)] = {**settings, **own}
    return found


def default_hyperparameters(
    benchmark: str, *, protocol: str, method: str
) -> dict[str, dict[str, float]]:
    """Return the default hyper-parameters by task and by column of the paper's tables.

    Empty where ``conf`` has no such benchmark. A hyper-parameter that the method does not have is
    left out.

    Raises:
        UserError: ``conf`` refuses a task.
    """
    found = {}
    with composing() as compose:
        for task in _tasks(benchmark):
            config = compose([f"dataset={task}", f"protocol={protocol}", f"method={method}"])
            values = {
                "batch_size": config.train.batch_size,
                "epochs": config.train.epochs,
                "learning_rate": config.optimizer.lr,
                "weight_decay": config.optimizer.weight_decay,
                "dropout": config.method.identity().get("dropout"),
            }
            found[config.dataset.name] = {k: float(v) for k, v in values.items() if v is not None}
    return found


def expected_sizes(benchmark: str) -> dict[str, dict[str, int]]:
    """Return classes and sizes by task and by the column of the paper's tables."""
    found = {}
    for name in _tasks(benchmark):
        task = option("dataset", name)
        names = {f"{role}_size": task["splits"][role] for role in ("train", "test")}
        sizes = {key: task["sizes"].get(name) for key, name in names.items()}
        counts = {"labels": task["classes"], **sizes}
        found[str(task["name"])] = {k: int(v) for k, v in counts.items() if v is not None}
    return found


def has_benchmark(benchmark: str) -> bool:
    """Whether ``conf/dataset`` has tasks of ``benchmark``."""
    return bool(_tasks(benchmark))


def _composed(compose: Callable[[Sequence[str]], RunConfig], origin: Origin) -> RunConfig | None:
    """Return the config of a run of ``origin`` to which nothing was said beside; None where
    ``conf`` lacks a part of it, or refuses it."""
    if (overrides := _overrides(origin)) is None:
        return None
    for further in [[], _OTHER_GRID] if origin.search in COARSE_TO_FINE else [[]]:
        with contextlib.suppress(UserError):
            return compose([*overrides, *further])
    return None


def _overrides(origin: Origin) -> list[str] | None:
    """Return the overrides that compose the defaults of ``origin``; None where ``conf`` lacks a
    part."""
    # Settings hold recipe values by reference, so any task of the benchmark will do.
    tasks = _tasks(origin.benchmark)
    known = origin.protocol in options("protocol") and origin.method in options("method")
    if not known or origin.search not in SEARCHES:
        return None
    chosen = {"protocol": origin.protocol, "method": origin.method}
    # A benchmark of one's own has no yaml here, or one that needs its data: that of any other, with
    # the recipe that such data takes.
    chosen |= {"dataset": tasks[0]} if tasks else {"recipe@dataset.recipe": "neutral"}
    words = [f"{group}={name}" for group, name in chosen.items()]
    named = origin.model in options("model")
    words += [f"model={origin.model}"] if named else ["model=timm", "model.architecture=any"]
    if origin.untrained:
        words += [f"head={origin.untrained}", "train.epochs=0"]
        words += [] if named else ["model.text_tower=any", "model.projection=1"]
        words += [] if tasks else ["+dataset.prompts={classes:{any:any},templates:['{}']}"]
    # On some benchmarks a protocol is tuned by default.
    tuned = ["protocol.tune=true", f"protocol.search={origin.search}"]
    return [*words, *(tuned if origin.tuned else ["protocol.tune=false"])]


@functools.cache
def _variants(method: str) -> dict[str, dict[str, Any]]:
    """Return the settings that each other yaml of ``method`` names, by the yaml's name."""
    found = {}
    for name in (name for name in options("method") if name.startswith(f"{method}_")):
        content = option("method", name)
        own = {k: v for k, v in content.items() if k not in ("defaults", "name", "recipe")}
        if method in content.get("defaults", ()):
            found[name] = {f"method.{key}": value for key, value in own.items()}
    return found


def _tasks(benchmark: str) -> list[str]:
    """Return the options of ``conf/dataset`` that are tasks of ``benchmark``, whatever its data."""
    found = ((name, option("dataset", name)) for name in options("dataset"))
    return [n for n, task in found if task.get("benchmark") == benchmark and task.get("splits")]
