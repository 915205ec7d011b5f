"""The tasks of a benchmark, as their yaml files describe them."""

from __future__ import annotations

import functools
from collections.abc import Collection

from hydra_peft.checkout import option, options
from hydra_peft.cli.composed import composing
from hydra_peft.config.benchmarks import find_benchmark
from hydra_peft.config.schema import DatasetConfig
from hydra_peft.errors import check_one_of


@functools.cache
def task_options(benchmark: str) -> dict[str, str]:
    """Return the names of the tasks of ``benchmark`` and their options in ``conf/dataset``.

    Grouped as in its tables. Nothing is composed, which takes seconds.

    Raises:
        UserError: no yaml in ``conf/dataset`` names that benchmark.
    """
    yamls = {name: option("dataset", name) for name in options("dataset")}
    yamls = {name: values for name, values in yamls.items() if values["splits"]}  # own data
    check_one_of("benchmark", benchmark, sorted({str(v["benchmark"]) for v in yamls.values()}))
    own = {name: task for name, task in yamls.items() if task["benchmark"] == benchmark}
    named = {str(task["name"]): name for name, task in own.items()}
    groups = {str(task["name"]): str(task["group"]) for task in own.values()}
    return {name: named[name] for name in find_benchmark(benchmark).in_order(groups)}


def benchmark_tasks(benchmark: str, named: Collection[str] = ()) -> dict[str, DatasetConfig]:
    """Return the tasks of ``benchmark`` by name, grouped as in its tables.

    Args:
        benchmark: theirs.
        named: those to return, since each takes a while to compose; all if none is.

    Raises:
        UserError: no yaml in ``conf/dataset`` names that benchmark.
    """
    own = task_options(benchmark)
    return {name: _composed(own[name]) for name in own if not named or name in named}


@functools.cache
def _composed(name: str) -> DatasetConfig:
    with composing() as compose:
        return compose([f"dataset={name}"]).dataset
