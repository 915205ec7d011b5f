"""Tables of texts in files: tsv and csv with names of columns in the first line, jsonl, or parquet.

No torch is loaded.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra_peft.data.tables_package import loading
from hydra_peft.errors import UserError, reason_of
from hydra_peft.links import missing
from hydra_peft.optional import optional_package
from hydra_peft.plain_text import counted
from hydra_peft.quoting import of_file

SUFFIXES = (".tsv", ".csv", ".jsonl", ".parquet")


def read_columns(file: Path, wanted: Sequence[str] | None = None) -> dict[str, list[Any]]:
    """Return columns of a table by name: of tsv and csv strings, else values in their own types.

    In csv a text with commas, quotes or line ends is quoted; tsv has no quotes, as GLUE's. A line
    of jsonl is an object; what it lacks, and what is null in parquet, is None.

    Args:
        wanted: names of the columns; None takes all.

    Raises:
        UserError: it is not there, no table of the kind that its name says, lacks a column, or its
            rows differ in length.
    """
    if not os.path.isfile(file):
        raise UserError(f"{missing(file, 'is not there or is not a file')}.")
    if file.suffix not in SUFFIXES:
        raise UserError(f"{file} is no table of texts: expected {', '.join(SUFFIXES)}.")
    if file.suffix == ".parquet":
        return _parquet(file, wanted)
    columns = _json_lines(file) if file.suffix == ".jsonl" else _delimited(file)
    return columns if wanted is None else {n: columns[n] for n in _found(wanted, [*columns], file)}


def _found(wanted: Sequence[str], names: Sequence[str], file: Path) -> Sequence[str]:
    for name in wanted:
        if names.count(name) != 1:
            there = "more than one" if name in names else "no"
            listed = of_file(", ".join(names))
            raise UserError(f"{file} has {there} column '{name}' (it has {listed}).")
    return wanted


def _content(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is no text in UTF-8 ({error.reason}).") from None
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}.") from None


def _delimited(file: Path) -> dict[str, list[Any]]:
    tabs = file.suffix == ".tsv"
    rows = csv.reader(
        io.StringIO(_content(file), newline=""),
        delimiter="\t" if tabs else ",",
        quoting=csv.QUOTE_NONE if tabs else csv.QUOTE_MINIMAL,
        strict=True,  # else a quote that is not closed takes in all lines after it
    )
    try:
        header = next(rows, [])
        if not header or len(set(header)) < len(header):
            raise UserError(f"{file} has no first line that names its columns, each once.")
        columns: dict[str, list[Any]] = {name: [] for name in header}
        for row in filter(None, rows):  # blank lines are none
            if len(row) != len(header):
                raise UserError(
                    f"{file} has {counted(len(row), 'column')} in line {rows.line_num}, and its "
                    f"first line names {len(header)}."
                )
            for name, value in zip(header, row, strict=True):
                columns[name].append(value)
    except csv.Error as error:
        raise UserError(
            f"{file} is malformed in line {rows.line_num} ({reason_of(error)})."
        ) from None
    return columns


def _json_lines(file: Path) -> dict[str, list[Any]]:
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(_content(file).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise UserError(f"{file} has no json object in line {number}: expected one a line.")
        rows.append(row)
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: [row.get(name) for row in rows] for name in names}


def _parquet(file: Path, wanted: Sequence[str] | None) -> dict[str, list[Any]]:
    use = f"{file} is read with the package pyarrow"
    parquet = optional_package("pyarrow.parquet", extra="text", use=use)
    with loading(file, "write it again"):
        table = parquet.ParquetFile(file)
        names = _found(wanted or table.schema_arrow.names, table.schema_arrow.names, file)
        read = table.read(columns=list(names))
        return {name: read.column(name).to_pylist() for name in names}
