"""A benchmark: its tasks in groups and the means that tables report (``conf/benchmark``).

Plain yaml, read without Hydra and torch: tables need it for records of any age.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra_peft.config.resolvers import ROOT
from hydra_peft.config.text import from_yaml
from hydra_peft.errors import UserError

#: the folder of a config root that has a file for each benchmark
FOLDER = "benchmark"
#: what a mean may be over: all tasks alike, or the means of groups
OVER = ("tasks", "groups")
_MEANS = {"mean over tasks": "tasks", "mean over groups": "groups"}


@dataclass(frozen=True)
class Benchmark:
    """One benchmark.

    Attributes:
        name: ``benchmark`` of its data sets and of records.
        title: what readers call it.
        groups: task name to title, by group; both in the order of tables.
        means: what tables report beside the tasks: name of the mean to what it is over, ``tasks``
            or ``groups``.
        prepared: whether its tasks can be made from original data sets.
    """

    name: str
    title: str
    groups: Mapping[str, Mapping[str, str]]
    means: Mapping[str, str] = field(default_factory=lambda: dict(_MEANS))
    prepared: bool = False

    @property
    def tasks(self) -> dict[str, str]:
        """Task name to group, in order."""
        return {task: group for group, tasks in self.groups.items() for task in tasks}

    @property
    def titles(self) -> dict[str, str]:
        """Task name to title, in order."""
        return {task: title for tasks in self.groups.values() for task, title in tasks.items()}

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
    return Benchmark(name, name, {})


def all_benchmarks(folders: Sequence[Path] = ()) -> dict[str, Benchmark]:
    """Return every benchmark of ``conf`` and ``folders`` by name, sorted.

    Raises:
        UserError: a file is malformed.
    """
    return {
        name: find_benchmark(name, folders) for name in sorted({p.stem for p in _files(folders)})
    }


def _files(folders: Sequence[Path]) -> list[Path]:
    roots = [*folders, ROOT / "conf"]
    return [path for root in roots for path in sorted((root / FOLDER).glob("*.yaml"))]


@functools.cache
def _read(path: Path) -> Benchmark:
    values = from_yaml(path.read_text(encoding="utf-8"), str(path))
    unknown = values.keys() - {"title", "groups", "means", "prepared"}
    if unknown:
        raise UserError(
            f"{path} has the unknown key '{min(unknown)}'; known here: title, groups, means, "
            "prepared."
        )
    groups, means = values.get("groups"), values.get("means", dict(_MEANS))
    prepared = values.get("prepared", False)
    if not isinstance(groups, dict) or not all(map(_is_mapping, [groups, *groups.values()])):
        raise UserError(f"{path} needs 'groups': for each group its tasks, as in 'digits: null'.")
    if not isinstance(means, dict) or not set(means.values()) <= set(OVER):
        raise UserError(f"{path} needs in 'means' names of means, each over one of: tasks, groups.")
    if not isinstance(prepared, bool):
        raise UserError(f"{path} has prepared={prepared}: it must be true or false.")
    titles = {
        group: {task: str(task if title is None else title) for task, title in tasks.items()}
        for group, tasks in groups.items()
    }
    found = Benchmark(path.stem, str(values.get("title", path.stem)), titles, means, prepared)
    if len(found.tasks) < sum(map(len, titles.values())):
        raise UserError(f"{path} has a task in two groups: name each task once.")
    return found


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict) and bool(value)
