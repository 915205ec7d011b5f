"""Splits: the named inputs and the targets of one part of a task, from disk to device."""

from __future__ import annotations

import functools
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Ragged:
    """Rows of different lengths, such as token ids: all values end to end, and where rows end.

    Indexing with a slice or positions gives a Ragged of those rows.

    Attributes:
        values: any dtype ``[total]``.
        lengths: int64 ``[n]``.
    """

    values: Tensor
    lengths: Tensor

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, rows: slice | Tensor) -> Ragged:
        if isinstance(rows, slice) and rows == slice(None):
            return self
        chosen = self.lengths[rows]
        starts = (self.lengths.cumsum(0) - self.lengths)[rows]
        within = torch.arange(int(chosen.sum()), device=chosen.device)
        within -= (chosen.cumsum(0) - chosen).repeat_interleave(chosen)
        return Ragged(self.values[starts.repeat_interleave(chosen) + within], chosen)

    def to(self, device: torch.device) -> Ragged:
        """Return the same rows on ``device``."""
        return Ragged(self.values.to(device), self.lengths.to(device))

    def padded(self, fill: float, multiple: int = 1) -> tuple[Tensor, Tensor]:
        """Return the rows as ``[n, longest]`` with ``fill`` at their ends, and a bool mask of them.

        Args:
            multiple: the width is rounded up to a multiple of it.
        """
        width = max(1, int(self.lengths.max()) if len(self) else 1)
        width = -(-width // multiple) * multiple
        columns = torch.arange(width, device=self.lengths.device)
        mask = columns < self.lengths[:, None]
        dense = self.values.new_full((len(self), width), fill)
        dense[mask] = self.values
        return dense, mask


@runtime_checkable
class Reader(Protocol):
    """Rows of equal shape that are read from disk, or decoded, when a slice is taken."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice) -> Tensor:
        """Return consecutive rows, in memory."""
        ...


class Images(ABC):
    """Images in their own sizes, decoded one by one: what a source gives as input ``image``.

    :func:`hydra_peft.data.feeding.prepare_split` turns them into rows of the size a model takes.

    Attributes:
        hashes: sha256 of each image's content, uint8 ``[n, 32]``.
        sha256: hash of the content of all images, in order.
    """

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def pixels(self, index: int) -> np.ndarray:
        """Return one image as RGB, uint8 ``[height, width, 3]``.

        Raises:
            UserError: the image cannot be read.
        """

    @property
    @abstractmethod
    def hashes(self) -> Tensor: ...

    @property
    @abstractmethod
    def sha256(self) -> str: ...

    @abstractmethod
    def part(self, rows: Sequence[int], name: str) -> Images:
        """Return the images at ``rows``, which are called ``name`` of these."""

    def check_decodable(self) -> None:  # noqa: B027
        """Check, once for each content, that every image can be read; nothing where all can be.

        Raises:
            UserError: one cannot; the message names it.
        """


@dataclass(frozen=True)
class Texts:
    """Texts, alone or in pairs: what a source gives as input ``text``.

    :func:`hydra_peft.data.feeding.prepare_split` turns them into the token ids that a model takes.

    Attributes:
        columns: the texts, or the first and the second of each pair.
    """

    columns: tuple[Sequence[str], ...]

    def __post_init__(self) -> None:
        assert len({len(column) for column in self.columns}) == 1, "texts alone, or pairs"

    def __len__(self) -> int:
        return len(self.columns[0])

    @functools.cached_property
    def hashes(self) -> Tensor:
        """The sha256 of each example's texts, uint8 ``[n, 32]``."""
        rows = zip(*self.columns, strict=True)
        return sha256_rows(json.dumps(row, ensure_ascii=False).encode() for row in rows)

    @functools.cached_property
    def sha256(self) -> str:
        """Hash of all texts, in order."""
        return hashlib.sha256(_bytes(self.hashes)).hexdigest()

    def part(self, rows: Sequence[int]) -> Texts:
        """Return the texts at ``rows``."""
        return Texts(tuple([column[row] for row in rows] for column in self.columns))


#: One input of all examples of a split.
Rows = Tensor | Ragged | Reader | Images | Texts


@dataclass(frozen=True)
class Batch:
    """Some examples of a split, in memory.

    Attributes:
        inputs: rows by name.
        targets: the same number of them.
    """

    inputs: Mapping[str, Tensor | Ragged]
    targets: Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def parts(self, count: int) -> Iterator[Batch]:
        """Yield the batch in ``count`` parts, whose sizes differ by at most one; none is empty."""
        if count == 1:
            yield self
            return
        for first, end in pairwise(len(self) * number // count for number in range(count + 1)):
            if first < end:
                rows = slice(first, end)
                inputs = {name: values[rows] for name, values in self.inputs.items()}
                yield Batch(inputs, self.targets[rows])

    def to(self, device: torch.device) -> Batch:
        """Return the batch on ``device``."""
        return Batch(
            {key: rows.to(device) for key, rows in self.inputs.items()}, self.targets.to(device)
        )


@dataclass(frozen=True)
class Split:
    """One split of a task, as its source gives it and as a model's backbone takes it.

    Attributes:
        inputs: by name, each with a row for every example: ``image`` uint8 ``[n, 3, height,
            width]`` (from a source: :class:`Images`), ``tokens`` ragged int32 (from a source:
            ``text``, :class:`Texts`), ``features`` float ``[n, width]``.
        targets: int64 ``[n]``, float32 ``[n]`` or bool ``[n, classes]``, as the
            kind of task takes them.
    """

    inputs: Mapping[str, Rows]
    targets: Tensor

    def __post_init__(self) -> None:
        for name, rows in self.inputs.items():
            assert len(rows) == len(self.targets), f"{name} has a row for every target"

    def __len__(self) -> int:
        return len(self.targets)

    def hashes(self) -> Tensor:
        """Return the sha256 of the inputs of each example, uint8 ``[n, 32]``.

        Raises:
            UserError: an image cannot be read.
        """
        columns = [_row_hashes(rows) for _, rows in sorted(self.inputs.items())]
        return columns[0] if len(columns) == 1 else _row_hashes(torch.cat(columns, dim=1))

    def sha256(self) -> str:
        """Return the hash of inputs and targets, in order.

        Raises:
            UserError: an image cannot be read.
        """
        inputs = [_whole_hash(rows) for _, rows in sorted(self.inputs.items())]
        digest = hashlib.sha256("".join(inputs).encode())
        digest.update(_bytes(self.targets))
        return digest.hexdigest()

    def check_decodable(self) -> None:
        """Check that all images of the split can be decoded, see :meth:`Images.check_decodable`."""
        for rows in self.inputs.values():
            if isinstance(rows, Images):
                rows.check_decodable()

    def by_length(self) -> Tensor | None:
        """Return the positions of the examples from the longest to the shortest, int64 ``[n]``.

        None where all are of one size. Batches of like lengths need the least padding.
        """
        lengths = [rows.lengths for rows in self.inputs.values() if isinstance(rows, Ragged)]
        if not lengths:
            return None
        return torch.stack(lengths).amax(0).argsort(descending=True, stable=True)

    def take(self, rows: slice | Tensor) -> Batch:
        """Return the examples at ``rows``: a slice, or positions (int64 ``[b]``).

        Positions need inputs in memory, see :meth:`in_memory`.
        """
        taken: dict[str, Tensor | Ragged] = {}
        for name, source in self.inputs.items():
            assert isinstance(rows, slice) or isinstance(source, Tensor | Ragged), "in memory"
            taken[name] = source[rows]  # type: ignore[index]
        return Batch(taken, self.targets[rows])

    def in_memory(self, device: torch.device) -> Split:
        """Return the split with all rows in memory of ``device``, each input contiguous there."""
        whole = self.take(slice(None)).to(device)
        inputs = {
            name: rows.contiguous() if isinstance(rows, Tensor) else rows
            for name, rows in whole.inputs.items()
        }
        return Split(inputs, whole.targets)


def sha256_rows(rows: Iterable[bytes | memoryview]) -> Tensor:
    """Return the sha256 of each of ``rows``, uint8 ``[n, 32]``."""
    digests = b"".join(hashlib.sha256(row).digest() for row in rows)
    return torch.frombuffer(bytearray(digests), dtype=torch.uint8).view(-1, 32)


def _row_hashes(rows: Rows) -> Tensor:
    if isinstance(rows, Images | Texts):
        return rows.hashes
    assert isinstance(rows, Tensor | Ragged), "a source's inputs are images or in memory"
    parts = rows.values.split(rows.lengths.tolist()) if isinstance(rows, Ragged) else rows
    return sha256_rows(_bytes(part) for part in parts)


def _whole_hash(rows: Rows) -> str:
    if isinstance(rows, Images | Texts):
        return rows.sha256
    return hashlib.sha256(_bytes(_row_hashes(rows))).hexdigest()


def _bytes(values: Tensor) -> memoryview:
    return values.contiguous().numpy().data
