"""The paper's tables of all benchmarks, by number: what each prints and whose runs it is of."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hydra_peft.checkout import PUBLISHED, option
from hydra_peft.commands import command
from hydra_peft.config.benchmarks import Benchmark, all_benchmarks
from hydra_peft.config.paper_tables import DatasetTable, HyperparameterTable, ScoreTable
from hydra_peft.errors import UserError
from hydra_peft.methods import method_names
from hydra_peft.tables.overrides import variant_marks
from hydra_peft.tables.summaries import weights_over


@dataclass(frozen=True, kw_only=True)
class PaperTable(ScoreTable):
    """One table of scores with all that it takes from others.

    Attributes:
        number: in the paper.
        benchmark: whose runs stand beside it.
        summary: whether it has the average only, no tasks.
    """

    number: int
    benchmark: Benchmark
    summary: bool

    @property
    def command(self) -> str:
        """Command that trains the whole table."""
        return f"{command('train')} -m +experiment={self.experiment}"

    @property
    def average_weights(self) -> dict[str, float]:
        """Weights of the tasks in the paper's average, which is the benchmark's main mean."""
        return weights_over(self.benchmark.main_mean[1], self.benchmark.tasks)

    @functools.cached_property
    def trained(self) -> list[str]:
        """Keys of the rows whose methods its experiment trains.

        Before there is such an experiment, those with a method that is here.
        """
        methods = _methods_of(self.experiment) or set(method_names())
        rows = ((key, items["name"]) for key, items in self.rows.items())
        return [key for key, name in rows if name in methods and key not in self.apart]

    @functools.cached_property
    def variants(self) -> list[frozenset[str]]:
        """Marks by which rows of its experiment are the table's own: a set for each of its methods,
        which may be variants."""
        return [variant_marks(name) for name in _options_of(self.experiment)]

    def own_marks(self, marks: Iterable[str]) -> frozenset[str]:
        """Return ``marks`` of a row where one method of the experiment explains all that are of
        methods; none otherwise."""
        of_method = frozenset(mark for mark in marks if mark.startswith("method"))
        return of_method if any(of_method <= variant for variant in self.variants) else frozenset()

    @property
    def published(self) -> Path:
        """File of the published numbers."""
        return PUBLISHED / self.csv


#: a table of any kind
AnyTable = PaperTable | HyperparameterTable | DatasetTable


def paper_tables(folders: Sequence[Path] = ()) -> dict[int, tuple[Benchmark, AnyTable]]:
    """Return every table by its number, with its benchmark.

    Args:
        folders: config roots that have benchmarks beside those of ``conf``.

    Raises:
        UserError: a benchmark's file is malformed, or two have a table of one number.
    """
    found: dict[int, tuple[Benchmark, AnyTable]] = {}
    for benchmark in all_benchmarks(folders).values():
        for key, spec in benchmark.paper.tables.items():
            number = int(key.removeprefix("table"))
            if number in found:
                raise UserError(
                    f"benchmarks '{found[number][0].name}' and '{benchmark.name}' both have a "
                    f"{key}: a number is one table's."
                )
            table = _of(benchmark, number, spec) if isinstance(spec, ScoreTable) else spec
            found[number] = (benchmark, table)
    return dict(sorted(found.items()))


def score_tables(folders: Sequence[Path] = ()) -> dict[int, PaperTable]:
    """Return the tables of scores of :func:`paper_tables` by number."""
    tables = ((number, table) for number, (_, table) in paper_tables(folders).items())
    return {number: table for number, table in tables if isinstance(table, PaperTable)}


def _methods_of(experiment: str) -> set[str]:
    """Return the names of the methods that an experiment's sweep is over; none if absent."""
    yamls = (option("method", name) for name in _options_of(experiment))
    # A variant may leave the name to the yaml that it begins with.
    return {str(yaml.get("name", yaml.get("defaults", [""])[0])) for yaml in yamls if yaml}


def _options_of(experiment: str) -> list[str]:
    """Return the options of ``method`` that an experiment's sweep is over; none if absent."""
    found = option("experiment", experiment).get("hydra", {})
    return str(found.get("sweeper", {}).get("params", {}).get("method", "")).split(",")


def _of(benchmark: Benchmark, number: int, spec: ScoreTable) -> PaperTable:
    whole = benchmark.paper.scores[spec.summary_of] if spec.summary_of else spec
    own = replace(whole, title=spec.title, csv=spec.csv)
    summary = bool(spec.summary_of)
    return PaperTable(**vars(own), number=number, benchmark=benchmark, summary=summary)
