"""Tables of small images with labels, as people have them in parquet and on the hub."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Dataset, Image
from PIL import Image as Picture


def encoded(count: int, *, seed: int = 0) -> list[bytes]:
    """Return ``count`` PNGs of noise, all of them different."""
    random = np.random.RandomState(seed)
    images = []
    for _ in range(count):
        file = io.BytesIO()
        Picture.fromarray(random.randint(0, 256, (6, 8, 3), np.uint8)).save(file, "PNG")
        images.append(file.getvalue())
    return images


def table(
    images: Sequence[bytes | None], labels: Sequence[Any], names: Sequence[str] = (), **more: Any
) -> Dataset:
    """Return a table with the feature Image, and ClassLabel where the classes have ``names``."""
    kind = ClassLabel(names=list(names)) if names else None
    columns = {
        "image": [{"bytes": one, "path": None} for one in images],
        "label": list(labels),
        **more,
    }
    found = Dataset.from_dict(columns).cast_column("image", Image())
    return found.cast_column("label", kind) if kind else found


def pets(count: int, *, seed: int = 0) -> Dataset:
    """Return a table of ``count`` dogs and cats in turn; dogs are class 0."""
    return table(encoded(count, seed=seed), [n % 2 for n in range(count)], ["dog", "cat"])


def write_plain(file: Path, **columns: Sequence[Any]) -> Path:
    """Write a parquet file that knows nothing of features, as pandas does."""
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({name: list(values) for name, values in columns.items()}), file)
    return file
