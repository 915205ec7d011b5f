"""Arrays in HDF5 files, read in parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hydra_peft.errors import UserError
from hydra_peft.workshop.prepare.originals._optional import optional


class Hdf5Array:
    """An array of integers in an HDF5 file, which is kept open while this object lives.

    Args:
        path: the file.
        name: the dataset's name in it, such as ``latents/classes``.
        row: its shape without the first axis.
        most: most rows it may have: the shape is only a claim, which costs nothing to write and
            memory to believe.
        dtype: what it holds; None accepts all integers.

    Attributes:
        rows: length of the first axis.
        chunk_rows: how many rows its chunks reach over; None where it is not cut into chunks.

    Raises:
        UserError: the file is missing, truncated or no HDF5 file, or its dataset another one.
    """

    def __init__(
        self, path: Path, name: str, *, row: tuple[int, ...], most: int, dtype: str | None = None
    ) -> None:
        h5py = optional("h5py")
        self._path = path
        try:
            found: Any = h5py.File(path, "r")[name]
        except KeyError:
            raise UserError(f"{path} has no dataset '{name}': fetch the original again.") from None
        # h5py tells truncated and foreign files by OSError, damaged ones by RuntimeError too.
        except (OSError, RuntimeError) as error:
            raise UserError(
                f"{path} is not a whole HDF5 file ({error}): fetch or unpack it again."
            ) from None
        shape = getattr(found, "shape", None) or (0,)
        known = isinstance(found, h5py.Dataset) and (
            found.dtype == dtype if dtype else found.dtype.kind in "iu"
        )
        if not known or shape[1:] != row or not 1 <= shape[0] <= most:
            kind = f"{list(shape)} of {found.dtype}" if hasattr(found, "dtype") else "a group"
            raise UserError(
                f"{path}: '{name}' should be [n, {', '.join(map(str, row))}] of "
                f"{dtype or 'integers'} with n from 1 to {most}, and is {kind}: fetch it again."
            )
        self._dataset = found
        self.rows = int(shape[0])
        self.chunk_rows: int | None = found.chunks[0] if found.chunks else None

    def __getitem__(self, selection: Any) -> np.ndarray:
        """Return rows, as indexing an ``h5py.Dataset`` does.

        Raises:
            UserError: that part of the file is damaged.
        """
        try:
            return np.asarray(self._dataset[selection])
        except (OSError, RuntimeError) as error:
            raise UserError(
                f"{self._path}: cannot read '{self._dataset.name}' at {selection} ({error}): "
                "fetch the original again."
            ) from None
