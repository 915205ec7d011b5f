"""The tasks of a benchmark, as their yaml files describe them."""

from __future__ import annotations

import functools
from collections.abc import Collection

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from hydra_peft.cli.train import CONF, register
from hydra_peft.config.benchmarks import find_benchmark
from hydra_peft.config.check import check_config
from hydra_peft.config.schema import DatasetConfig
from hydra_peft.errors import UserError, did_you_mean


@functools.cache
def task_options(benchmark: str) -> dict[str, str]:
    """Return the names of the tasks of ``benchmark`` and their options in ``conf/dataset``.

    Grouped as in its tables. Nothing is composed, which takes seconds.

    Raises:
        UserError: no yaml in ``conf/dataset`` names that benchmark.
    """
    folder = CONF / "dataset"
    yamls = {
        str(path.relative_to(folder).with_suffix("")): yaml.safe_load(path.read_text())
        for path in sorted(folder.rglob("*.yaml"))
    }
    yamls = {option: values for option, values in yamls.items() if values["splits"]}  # own data
    known = sorted({str(values["benchmark"]) for values in yamls.values()})
    if benchmark not in known:
        raise UserError(
            f"benchmark '{benchmark}' is unknown{did_you_mean(benchmark, known)}: choose one of "
            f"{', '.join(known)}."
        )
    own = {option: task for option, task in yamls.items() if task["benchmark"] == benchmark}
    options = {str(task["name"]): option for option, task in own.items()}
    groups = {str(task["name"]): str(task["group"]) for task in own.values()}
    return {name: options[name] for name in find_benchmark(benchmark).in_order(groups)}


def benchmark_tasks(benchmark: str, named: Collection[str] = ()) -> dict[str, DatasetConfig]:
    """Return the tasks of ``benchmark`` by name, grouped as in its tables.

    Args:
        benchmark: theirs.
        named: those to return, since each takes a while to compose; all if none is.

    Raises:
        UserError: no yaml in ``conf/dataset`` names that benchmark.
    """
    options = task_options(benchmark)
    return {name: _composed(options[name]) for name in options if not named or name in named}


@functools.cache
def _composed(option: str) -> DatasetConfig:
    register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return check_config(compose("train", [f"dataset={option}"])).dataset
