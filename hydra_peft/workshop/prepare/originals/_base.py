"""Base class of original data sets: pools of examples, and the slices that make a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from PIL import Image

from hydra_peft.workshop.prepare.originals._source import SourceFolder

#: what identifies an example within its pool; its hash decides the example's place
Key = int | str | bytes


@dataclass(frozen=True)
class Pool:
    """One split of an original, in the original's own order.

    Attributes:
        keys: one key an example, as tensorflow/datasets builds them.
        labels: int64 ``[n]``; or bool ``[n, classes]``, where an example has any number of classes.
        image: from index to the image: either a ``PIL.Image`` (stored as PNG, lossless) or the
            bytes of a file in a format that PIL reads (stored as they are). It is called from
            several threads.
        classes: their names by label, for benchmarks that count them in an order of their own;
            empty where labels are counted the same everywhere.
    """

    keys: Sequence[Key]
    labels: np.ndarray
    image: Callable[[int], Image.Image | bytes]
    classes: Sequence[str] = ()

    def __post_init__(self) -> None:
        assert len(self.keys) == len(self.labels), "one key and one label an example"


@dataclass(frozen=True)
class Slice:
    """A run of a pool's examples in hashed order.

    Boundaries are percentages of the pool, rounded down, as google-research/task_adaptation
    computes them, so that they also mean something for a smaller pool.

    Attributes:
        pool: name of the pool, which is also the salt of its order: ``train``, ``validation`` or
            ``test``.
        start: first example, in percent of the pool.
        stop: end (exclusive), in percent of the pool.
    """

    pool: str
    start: int = 0
    stop: int = 100

    def bounds(self, size: int, limit: int | None) -> tuple[int, int]:
        """Return ``(first, end)`` in a pool of ``size`` examples, at most ``limit`` of them."""
        first, end = size * self.start // 100, size * self.stop // 100
        return first, end if limit is None else min(end, first + limit)


@dataclass(frozen=True)
class Whole:
    """All examples of a pool, in its own order."""

    pool: str


@dataclass(frozen=True)
class OfEachClass:
    """Some examples of each class of a pool: in hashed order from ``start`` to before ``stop``.

    Of a class with fewer than ``of`` examples as large a share, rounded down.
    """

    pool: str
    start: int
    stop: int
    of: int

    def bounds(self, size: int) -> range:
        """Return the places that are taken of a class with ``size`` examples."""
        share = min(size, self.of)
        return range(self.start * share // self.of, self.stop * share // self.of)


#: what a split of a task is made of
Piece: TypeAlias = Slice | Whole | OfEachClass

#: splits of an original whose own training and test data are taken as they are
TRAIN_AND_TEST: Mapping[str, Piece] = {"train": Whole("train"), "test": Whole("test")}

#: slices of an original that has one pool for each split
THREE_POOLS = {"train800": Slice("train"), "val200": Slice("validation"), "test": Slice("test")}


def two_pools(at: int, test: str = "test") -> dict[str, Slice]:
    """Return slices that divide pool ``train`` at ``at`` percent, and take pool ``test`` whole."""
    return {**one_pool(at, 100), "test": Slice(test)}


def one_pool(first: int, second: int) -> dict[str, Slice]:
    """Return slices that divide pool ``train`` at ``first`` and ``second`` percent."""
    bounds = {"train800": (0, first), "val200": (first, second), "test": (second, 100)}
    return {split: Slice("train", *percent) for split, percent in bounds.items()}


@dataclass(frozen=True)
class RemoteFile:
    """A file that anyone can fetch.

    Attributes:
        name: what it is called in the source folder.
        url: where it is.
        md5: 32 hexadecimal digits, as its publisher or torchvision states them; None if unknown.
        size: bytes; None if unknown.
        sha256: 64 hexadecimal digits, as its publisher or tensorflow/datasets states them; None if
            unknown.
    """

    name: str
    url: str
    md5: str | None = None
    size: int | None = None
    sha256: str | None = None

    @property
    def checksums(self) -> dict[str, str]:
        """The known ones, in lower case, by the name that hashlib gives their algorithm."""
        stated = {"md5": self.md5, "sha256": self.sha256}
        return {name: digits.lower() for name, digits in stated.items() if digits is not None}


@dataclass(frozen=True)
class Original:
    """One public data set and the tasks made of it.

    Attributes:
        name: for messages, such as ``CIFAR-100``.
        tasks: of VTAB-1k, or made by its rule: task name to its slices, ``train800``, ``val200``
            and ``test``.
        files: what ``download=true`` fetches; empty where a login or a form is needed.
        page: where a person finds the data and its licence.
        needs: the files or folders to put into the source folder, for messages.
        pools: from the source folder and the task's name to the pools that its slices name; raises
            UserError where a file is missing, truncated or not in the original format.
        elevater: tasks of ELEVATER: task name to what ``train`` and ``test`` are.
    """

    name: str
    tasks: Mapping[str, Mapping[str, Slice]]
    files: Sequence[RemoteFile]
    page: str
    needs: Sequence[str]
    pools: Callable[[SourceFolder, str], dict[str, Pool]]
    elevater: Mapping[str, Mapping[str, Piece]] = field(default_factory=dict)

    def made(self, benchmark: str) -> Mapping[str, Mapping[str, Piece]]:
        """Return the tasks of ``benchmark``, by name, and what their splits are made of."""
        return self.elevater if benchmark == "elevater" else self.tasks
