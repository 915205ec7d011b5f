"""Tables of texts in files: tsv and csv with names of columns in the first line, or parquet.

No torch is loaded.
"""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any

from hydra_peft.errors import UserError

SUFFIXES = (".tsv", ".csv", ".parquet")


def read_columns(file: Path) -> dict[str, list[Any]]:
    """Return the columns of a table by name: of parquet in its own types, else strings.

    In csv a text with commas, quotes or line ends is quoted; tsv has no quotes, as GLUE's.

    Raises:
        UserError: it is not there, no table of the kind that its name says, or its rows differ in
            length.
    """
    if not os.path.isfile(file):
        raise UserError(f"{file} is not there or is not a file.")
    if file.suffix not in SUFFIXES:
        raise UserError(f"{file} is no table of texts: expected {', '.join(SUFFIXES)}.")
    return _parquet(file) if file.suffix == ".parquet" else _delimited(file)


def _delimited(file: Path) -> dict[str, list[Any]]:
    try:
        content = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is no text in UTF-8 ({error.reason}).") from None
    tabs = file.suffix == ".tsv"
    rows = csv.reader(
        io.StringIO(content, newline=""),
        delimiter="\t" if tabs else ",",
        quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL,
    )
    try:
        header = next(rows, [])
        if not header or len(set(header)) < len(header):
            raise UserError(f"{file} has no first line that names its columns, each once.")
        columns: dict[str, list[Any]] = {name: [] for name in header}
        for row in rows:
            if len(row) != len(header):
                raise UserError(
                    f"{file} has {len(row)} columns in line {rows.line_num}, and its first line "
                    f"names {len(header)}."
                )
            for name, value in zip(header, row, strict=True):
                columns[name].append(value)
    except csv.Error as error:
        raise UserError(f"{file} is malformed in line {rows.line_num} ({error}).") from None
    return columns


def _parquet(file: Path) -> dict[str, list[Any]]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise UserError(
            f"{file} is read with the package pyarrow, which cannot be imported ({error}): "
            "pip install 'hydra-peft[text]'."
        ) from None
    try:
        table = parquet.ParquetFile(file).read()
    except (ArrowException, OSError) as error:
        said = str(error).splitlines()[0].rstrip(".")
        raise UserError(f"cannot read {file} ({said}).") from None
    return {name: table.column(name).to_pylist() for name in table.column_names}
