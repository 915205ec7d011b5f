"""Request to a data source: splits of a task, and the folder to look in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class DataRequest:
    """Splits of a task to load.

    Attributes:
        benchmark: name of its benchmark.
        name: name within the benchmark.
        folder: its folder in prepared data; None where nothing is read from disk.
        aliases: other names of that folder.
        classes: number of classes; labels lie below it.
        root: folder of prepared data.
        cache: folder for what is worth keeping between runs.
        splits: names of the splits to load.
        options: of the source's ``OPTIONS``; None where it has none.
        split_seed: of what is drawn: another one gives other splits.
    """

    benchmark: str
    name: str
    folder: str | None
    aliases: tuple[str, ...]
    classes: int
    root: Path
    cache: Path
    splits: tuple[str, ...]
    options: Any = None
    split_seed: int = 0
