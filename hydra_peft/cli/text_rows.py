"""Rows of a table of texts that a trained run is asked about."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from hydra_peft.config.schema import RunConfig
from hydra_peft.data.sources import text_columns
from hydra_peft.data.text_tables import read_columns
from hydra_peft.errors import UserError
from hydra_peft.listed import listed
from hydra_peft.plain_text import counted, quoted

#: texts of an example
_MOST = 2


@dataclass(frozen=True)
class TextRows:
    """Texts of a table, row by row.

    Attributes:
        columns: names of their columns, one or two.
        texts: the number of each row, from 1, and its texts.
        errors: a sentence for each row that lacks one.
    """

    columns: tuple[str, ...]
    texts: list[tuple[int, tuple[str, ...]]]
    errors: list[str]


def read_rows(config: RunConfig, file: str, columns: str) -> TextRows:
    """Return the texts in the table ``file``.

    Args:
        config: of the run, whose task says what the columns are called.
        columns: other names of them, with commas between; empty where it is the task's.

    Raises:
        UserError: it cannot be read, has no such columns or no rows, or they are more or fewer than
            the task has.
    """
    path = Path(file).expanduser()
    own = text_columns(config.dataset.source, config.dataset.name)
    names = tuple(listed("columns", columns, brackets=False)) if columns else own
    # Of a plugin's source nobody knows: it may read one text or two.
    forms = [_form(count) for count in ((len(own),) if own else range(1, _MOST + 1))]
    if len(names) > _MOST or len(names) != len(own or names):
        reads = f"{len(own)} ({', '.join(own)})" if own else f"at most {_MOST}"
        raise UserError(
            f"columns={columns} names {counted(len(names), 'column')} of texts, and this run "
            f"reads {reads}: give {' or '.join(forms)}."
        )
    try:
        found = read_columns(path, names)
    except UserError as error:
        if "column '" not in str(error):
            raise
        have = "has the text" if forms == [_form(1)] else "have the texts"
        raise UserError(
            f"{str(error).rstrip('.')}: say with {' or '.join(forms)} which {have}."
        ) from None
    texts: list[tuple[int, tuple[str, ...]]] = []
    errors = []
    for number, row in enumerate(zip(*found.values(), strict=True), 1):
        if wrong := [name for name, text in zip(names, row, strict=True) if not _is_text(text)]:
            value = row[names.index(wrong[0])]
            said = "null" if value is None else quoted(value) if str(value).strip() else "blank"
            errors.append(
                f"row {number} of {path} has no text in column '{wrong[0]}' (it is {said})."
            )
        else:
            texts.append((number, row))
    if not texts and not errors:
        raise UserError(f"{os.fspath(path)} has no rows: there is nothing to predict.")
    return TextRows(names, texts, errors)


def _form(count: int) -> str:
    """Return how so many columns are named on the command line."""
    return f"columns={','.join(['<name>'] * count)}"


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())
