"""Encoded images in a column of a table that the package ``datasets`` keeps on disk."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from hydra_peft.data.file_hashes import is_fresh, kept_hashes, stamp_of
from hydra_peft.data.images import EncodedImages
from hydra_peft.errors import UserError, reason_of
from hydra_peft.quoting import of_file


@dataclass(frozen=True)
class TableRow:
    """One image of a table; as text it says which.

    Attributes:
        table: its column ``column`` has the encoded images.
        column: name of that column.
        row: counted from 0.
        place: what the table is called in messages.
    """

    table: Any = field(repr=False, compare=False)
    column: str
    row: int
    place: str

    def __str__(self) -> str:
        return f"{self.place}, row {self.row}"

    def read_bytes(self) -> bytes:
        """Return the encoded image.

        Raises:
            UserError: the table's file is damaged.
        """
        try:
            return bytes(self.table[self.row][self.column]["bytes"])
        # Arrow raises a dozen kinds, of which most are no OSError.
        except Exception as error:
            raise UserError(
                f"cannot read {self}: {of_file(reason_of(error), type(error).__name__)}; make or "
                "fetch it again."
            ) from None


@dataclass(frozen=True)
class TableImages(EncodedImages):
    """Rows of one table, decoded one by one.

    Attributes:
        files: the rows, in the split's order.
        sources: the files that the table is in.
    """

    files: Sequence[TableRow] = field(repr=False)
    sources: tuple[str, ...] = field(repr=False)

    def computed_hashes(self) -> Tensor:
        """Return the sha256 of each encoded image; computed again where a source has changed."""
        now = time.time_ns()
        found = [stamp_of(os.stat(source)) for source in self.sources]
        stamp = [sum(one) % 2**63 for one in zip(*found, strict=True)]
        fresh = any(is_fresh(one, now) for one in found)
        names = hashlib.sha256(b"\0".join(map(os.fsencode, (*self.sources, *map(str, self.files)))))
        stamps = torch.tensor([stamp] * len(self.files), dtype=torch.int64)
        return kept_hashes(
            self.files,
            names.hexdigest(),
            stamps,
            self.index,
            self.title,
            torch.full((len(self.files),), fresh),
        )
