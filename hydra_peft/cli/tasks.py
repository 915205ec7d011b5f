"""The tasks of a benchmark, as their yaml files describe them."""

from __future__ import annotations

import functools

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from hydra_peft.cli.train import CONF, register
from hydra_peft.config.benchmarks import find_benchmark
from hydra_peft.config.check import check_config
from hydra_peft.config.resolvers import without_devices
from hydra_peft.config.schema import DatasetConfig
from hydra_peft.errors import UserError, did_you_mean


@functools.cache
def benchmark_tasks(benchmark: str) -> dict[str, DatasetConfig]:
    """Return the tasks of ``benchmark`` by name, grouped as in its tables.

    Raises:
        UserError: no yaml in ``conf/dataset`` names that benchmark.
    """
    folder = CONF / "dataset"
    benchmarks = {
        str(path.relative_to(folder).with_suffix("")): yaml.safe_load(path.read_text())["benchmark"]
        for path in sorted(folder.rglob("*.yaml"))
    }
    known = sorted(set(benchmarks.values()))
    if benchmark not in known:
        raise UserError(
            f"benchmark '{benchmark}' is unknown{did_you_mean(benchmark, known)}: choose one of "
            f"{', '.join(known)}."
        )
    options = [option for option, named in benchmarks.items() if named == benchmark]
    register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"), without_devices():
        tasks = [check_config(compose("train", [f"dataset={name}"])).dataset for name in options]
    found = {task.name: task for task in tasks}
    order = find_benchmark(benchmark).in_order({name: task.group for name, task in found.items()})
    return {name: found[name] for name in order}
