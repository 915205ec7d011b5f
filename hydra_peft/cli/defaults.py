"""Default settings and hyper-parameters of runs, composed from ``conf``, for tables to compare
with."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from hydra_peft.cli.hydra_errors import COMPOSITION_ERRORS, one_sentence
from hydra_peft.cli.train import CONF, register
from hydra_peft.config.check import check_config
from hydra_peft.config.schema import SEARCHES
from hydra_peft.data.split_roles import role_of
from hydra_peft.errors import UserError
from hydra_peft.tables.overrides import Origin, by_role


def default_settings(origins: Iterable[Origin]) -> dict[Origin, dict[str, Any]]:
    """Return the settings of a run of each origin to which nothing was said beside.

    The splits of its protocol are by their roles, as :func:`by_role` makes them. Presets of its
    method are beside it, as origins of their own.

    Origins that ``conf`` has no protocol or method for are left out, and so are those that it
    refuses; of a benchmark it need not know, since settings leave out what is the task's.
    """
    register()
    GlobalHydra.instance().clear()
    found = {}
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for origin in sorted(set(origins), key=repr):
            overrides = _overrides(origin)
            if overrides is None:
                continue
            try:
                config = check_config(compose("train", overrides))
            except (UserError, *COMPOSITION_ERRORS):
                continue
            roles = dataclasses.asdict(config.dataset.splits)
            settings = by_role(config.settings, functools.partial(role_of, roles=roles))
            if origin.model not in _options("model"):
                # Of any other timm model the name is the architecture.
                settings["model.architecture"] = origin.model
            found[origin] = settings
            for preset, options in _presets(origin.method).items():
                found[dataclasses.replace(origin, preset=preset)] = {**settings, **options}
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
    register()
    GlobalHydra.instance().clear()
    found = {}
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for option in _tasks(benchmark):
            words = [f"dataset={option}", f"protocol={protocol}", f"method={method}"]
            try:
                config = check_config(compose("train", words))
            except COMPOSITION_ERRORS as error:
                raise UserError(one_sentence(error)) from None
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
    for option in _tasks(benchmark):
        task = _yaml(option)
        names = {f"{role}_size": task["splits"][role] for role in ("train", "test")}
        sizes = {key: task["sizes"].get(name) for key, name in names.items()}
        counts = {"labels": task["classes"], **sizes}
        found[str(task["name"])] = {k: int(v) for k, v in counts.items() if v is not None}
    return found


def has_benchmark(benchmark: str) -> bool:
    """Whether ``conf/dataset`` has tasks of ``benchmark``."""
    return bool(_tasks(benchmark))


def _overrides(origin: Origin) -> list[str] | None:
    """Return the overrides that compose the defaults of ``origin``; None where ``conf`` lacks a
    part."""
    # Settings hold recipe values by reference, so any task of the benchmark will do.
    tasks = _tasks(origin.benchmark)
    known = origin.protocol in _options("protocol") and origin.method in _options("method")
    if not known or origin.search not in SEARCHES:
        return None
    chosen = {"protocol": origin.protocol, "method": origin.method}
    # A benchmark of one's own has no yaml here, or one that needs its data: that of any other, with
    # the recipe that such data takes.
    chosen |= {"dataset": tasks[0]} if tasks else {"recipe@dataset.recipe": "neutral"}
    words = [f"{group}={option}" for group, option in chosen.items()]
    named = origin.model in _options("model")
    words += [f"model={origin.model}"] if named else ["model=timm", "model.architecture=any"]
    tuned = ["protocol.tune=true", f"protocol.search={origin.search}"]
    return [*words, *tuned] if origin.tuned else words


@functools.cache
def _presets(method: str) -> dict[str, dict[str, Any]]:
    """Return the settings that each other yaml of ``method`` names, by the yaml's name."""
    found = {}
    for path in sorted((CONF / "method").glob(f"{method}_*.yaml")):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        options = {k: v for k, v in content.items() if k not in ("defaults", "name", "recipe")}
        if method in content.get("defaults", ()):
            found[path.stem] = {f"method.{key}": value for key, value in options.items()}
    return found


@functools.cache
def _options(group: str) -> list[str]:
    folder = CONF / group
    return sorted(str(p.relative_to(folder).with_suffix("")) for p in folder.rglob("*.yaml"))


def _tasks(benchmark: str) -> list[str]:
    """Return the options of ``conf/dataset`` that are tasks of ``benchmark``, whatever its data."""
    found = ((option, _yaml(option)) for option in _options("dataset"))
    return [o for o, task in found if task.get("benchmark") == benchmark and task.get("splits")]


@functools.cache
def _yaml(option: str) -> dict[str, Any]:
    content = yaml.safe_load((CONF / "dataset" / f"{option}.yaml").read_text(encoding="utf-8"))
    return content if isinstance(content, dict) else {}
