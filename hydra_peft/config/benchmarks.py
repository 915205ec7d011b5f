"""A benchmark: its tasks in groups, means, seeds, protocols and paper tables (``conf/benchmark``).

Plain yaml, read without Hydra and torch: tables need it for records of any age.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hydra_peft.checkout import conf_roots
from hydra_peft.config.paper_tables import Paper
from hydra_peft.config.text import from_yaml
from hydra_peft.config.typed import typed
from hydra_peft.errors import UserError, placed
from hydra_peft.files import text_of

#: the folder of a config root that has a file for each benchmark
FOLDER = "benchmark"
#: what a mean may be over: all tasks alike, or the means of groups
OVER = ("tasks", "groups")
#: how scores of several seeds are summed up
OVER_SEEDS = ("mean", "median")
_MEANS = {"mean over tasks": "tasks", "mean over groups": "groups"}


@dataclass(frozen=True)
class Benchmark:
    """One benchmark.

    Attributes:
        name: ``benchmark`` of its data sets and of records.
        title: what readers call it.
        groups: task name to title (null where that is the name), by group; both in the order of
            tables.
        means: what tables report beside the tasks: name of the mean to what it is over, ``tasks``
            or ``groups``. By the last one pictures and summaries compare methods.
        prepared: whether its tasks can be made from original data sets.
        seeds: those of a complete sweep: a row lacks those that another row has, and commands that
            train a whole table ask for them; empty where runs alone decide.
        over_seeds: ``mean`` or ``median``: what a cell of a table is of the scores of its seeds.
        protocols: its own, in the order of tables; a run takes the first by default.
        optimizer, scheduler: options of these groups that its runs take by default.
        clip_head: option of group ``head`` likewise, on a model that has a text tower.
        paper: tables of a paper that are of it.
        references: scores on its test sets by task, in percent, of what is no run, such as a
            baseline without a backbone, by what it is; tables say them below.
    """

    name: str
    title: str
    groups: dict[str, dict[str, str | None]]
    means: dict[str, str]
    prepared: bool = False
    seeds: list[int] = field(default_factory=list)
    over_seeds: str = "mean"
    protocols: list[str] = field(default_factory=lambda: ["clean"])
    optimizer: str = "adamw"
    scheduler: str = "by_protocol"
    clip_head: str = "linear"
    paper: Paper = field(default_factory=Paper)
    references: dict[str, dict[str, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check what types do not say.

        Raises:
            UserError: an empty group, a task in two groups, a mean over something else, ...
        """
        if empty := [group for group, tasks in self.groups.items() if not tasks]:
            raise UserError(
                f"benchmark.groups.{empty[0]} has no task: name some, as in digits: null."
            )
        counts = Counter(task for tasks in self.groups.values() for task in tasks)
        if twice := [task for task, count in counts.items() if count > 1]:
            raise UserError(f"task '{twice[0]}' is in two groups: name each task once.")
        if not self.means or not set(self.means.values()) <= set(OVER):
            raise UserError(
                f"benchmark.means needs names of means, each over one of: {', '.join(OVER)}."
            )
        if not self.protocols:
            raise UserError("benchmark.protocols is empty: name one at least, such as [clean].")
        if self.over_seeds not in OVER_SEEDS:
            raise UserError(
                f"benchmark.over_seeds={self.over_seeds} is not allowed: it must be one of "
                f"{', '.join(OVER_SEEDS)}."
            )
        given: dict[str, Mapping[str, object]] = {"paper.metrics": self.paper.metrics}
        given |= {f"references.{name}": scores for name, scores in self.references.items()}
        for key, tasks in given.items():
            if unknown := sorted(tasks.keys() - counts.keys()):
                raise UserError(f"benchmark.{key} has no task of it: {', '.join(unknown)}.")

    @property
    def tasks(self) -> dict[str, str]:
        """Task name to group, in order."""
        return {task: group for group, tasks in self.groups.items() for task in tasks}

    @property
    def titles(self) -> dict[str, str]:
        """Task name to title, in order."""
        return {t: title or t for tasks in self.groups.values() for t, title in tasks.items()}

    @property
    def main_mean(self) -> tuple[str, str]:
        """Name of the mean that methods are compared by, and what it is over."""
        return list(self.means.items())[-1]

    def in_order(self, tasks: Mapping[str, str]) -> dict[str, str]:
        """Return ``tasks`` (task name to group) by group, then name; unknown groups at the end."""
        known = list(self.groups)

        def order(item: tuple[str, str]) -> tuple[int, str, str]:
            task, group = item
            return (known.index(group) if group in known else len(known), group, task)

        return dict(sorted(tasks.items(), key=order))


def find_benchmark(name: str, folders: Sequence[Path] = ()) -> Benchmark:
    """Return the benchmark ``name`` of the first folder that has it; without groups if none has.

    Args:
        name: as records have it.
        folders: config roots that are searched before ``conf``.

    Raises:
        UserError: its file is malformed.
    """
    for path in _files(folders):
        if path.stem == name:
            return _read(path)
    return Benchmark(name, name, {}, dict(_MEANS))


def all_benchmarks(folders: Sequence[Path] = ()) -> dict[str, Benchmark]:
    """Return every benchmark of ``conf`` and ``folders`` by name, sorted.

    Raises:
        UserError: a file is malformed.
    """
    return {
        name: find_benchmark(name, folders) for name in sorted({p.stem for p in _files(folders)})
    }


def _files(folders: Sequence[Path]) -> list[Path]:
    roots = [*folders, *conf_roots()]
    return [path for root in roots for path in sorted((root / FOLDER).glob("*.yaml"))]


@functools.cache
def _read(path: Path) -> Benchmark:
    values = from_yaml(text_of(path), str(path))
    usual = {"name": path.stem, "title": path.stem, "means": dict(_MEANS)}
    if values.get("name", path.stem) != path.stem:
        raise UserError(f"{path} says name: {values['name']}: a benchmark is called as its file.")
    with placed(f"{path}:"):
        return typed(Benchmark, usual | values, FOLDER)
