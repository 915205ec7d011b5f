"""Tables in text files whose first line names the columns."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from hydra_peft.errors import UserError


def read_table(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    """Return the rows of a table, each by column; blanks around names and values do not count.

    Raises:
        UserError: the file cannot be read, is empty, or a row has other columns than the first.
    """
    rows = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter)
            names = [name.strip() for name in next(reader, [])]
            for row in reader:
                if not row:
                    continue
                if len(row) != len(names):
                    raise UserError(
                        f"{path}, line {reader.line_num}: {len(row)} columns where the first line "
                        f"names {len(names)}: fetch it again."
                    )
                rows.append({n: value.strip() for n, value in zip(names, row, strict=True)})
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot read the table {path} ({reason}): fetch it again.") from None
    if not rows:
        raise UserError(f"{path} has no rows: fetch it again.")
    return rows


def column_of(rows: Sequence[dict[str, str]], path: Path, name: str) -> list[str]:
    """Return the values of the column ``name``.

    Raises:
        UserError: there is no such column.
    """
    if name not in rows[0]:
        raise UserError(
            f"{path} has no column {name}, it has {', '.join(rows[0])}: it is another file than "
            "the one that is needed."
        )
    return [row[name] for row in rows]


def whole_numbers(values: Sequence[str], path: Path, name: str, below: int) -> list[int]:
    """Return ``values`` of the column ``name`` as whole numbers from 0 to before ``below``.

    Raises:
        UserError: one is none.
    """
    for number, value in enumerate(values, 2):
        if not (value.isascii() and value.isdigit() and len(value) < 10 and int(value) < below):
            raise UserError(
                f"{path}, line {number}: {name} is '{value[:40]}', not one of 0 to {below - 1}: "
                "fetch it again."
            )
    return [int(value) for value in values]
