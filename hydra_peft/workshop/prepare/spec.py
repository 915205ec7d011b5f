"""Spec of prepared data, from a task's yaml."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class TaskSpec:
    """A task to prepare, or to find in an archive.

    Attributes:
        benchmark: name of its benchmark.
        name: the task's name.
        folder: its folder below the root of prepared data.
        aliases: other names of that folder.
        classes: labels lie below it.
        sizes: images by split.
        classes_in_order: names of the classes in the original, by label, where the benchmark says
            in which order; empty where the original's own order holds.
    """

    benchmark: str
    name: str
    folder: str
    aliases: Sequence[str]
    classes: int
    sizes: Mapping[str, int]
    classes_in_order: Sequence[str] = ()
