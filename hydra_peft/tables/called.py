"""Names that a row can be asked for by, on the command line, as tables print them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from hydra_peft.errors import UserError, did_you_mean
from hydra_peft.listed import in_one_pair, listed
from hydra_peft.plain_text import in_a_row, quoted, shortened_apart
from hydra_peft.tables.parts import Part
from hydra_peft.tables.rows import Row
from hydra_peft.tables.sheet import CELL

#: characters of each of the two names of a pair
PAIR = 95


def labels_by_row(part: Part) -> dict[int, frozenset[str]]:
    """Return by the ``id`` of each row of ``part`` its whole label, and what tables call it, also
    cut as they print it."""
    rows, labels = part.table.rows, part.labels
    cut = [shortened_apart(labels, limit) for limit in (CELL, PAIR)]
    forms = zip(rows, labels, *cut, strict=True)
    return {id(row): frozenset({row.label, *names}) for row, *names in forms}


def names_by_row(part: Part) -> dict[int, frozenset[str]]:
    """Return the same with the name of the row's method."""
    labels = labels_by_row(part)
    return {id(row): labels[id(row)] | {_method(row)} for row in part.table.rows}


def named_rows(
    key: str, chosen: str, parts: Iterable[Part], leaving_out: Callable[[str], str]
) -> set[str]:
    """Return the names of rows of ``parts`` that ``chosen`` lists, as :func:`listed` reads them.

    Args:
        key: what is given them, for messages.
        chosen: as it was typed.
        parts: rows that there are.
        leaving_out: says of a name that no row has what leaves its runs out, empty for nothing.

    Raises:
        UserError: a name that no row has, one that is empty, or one twice.
    """
    measured = list(parts)
    known = _printed(measured)
    names = listed(key, chosen, known)
    if unknown := next((name for name in names if name not in known), None):
        meant = in_one_pair(unknown, chosen) or _meant(unknown, names, known)
        why = f"no measured row is called {whole(unknown)}{meant}"
        why += "; there are"
        if out := leaving_out(unknown):
            why = f"{out}; what is left is"
        there = {name for part in measured for name in part.labels}
        there |= {_method(row) for part in measured for row in part.table.rows}
        raise UserError(f"{key}={chosen}: {why} {in_a_row(sorted(there)) or 'none'}.")
    return set(names)


def _printed(parts: Iterable[Part]) -> dict[str, str]:
    """Return by each name that rows of ``parts`` can be asked for by what tables print for it."""
    found: dict[str, str] = {}
    for part in parts:
        forms = labels_by_row(part)
        for row, label in zip(part.table.rows, shortened_apart(part.labels, CELL), strict=True):
            found |= dict.fromkeys(forms[id(row)], label) | {_method(row): _method(row)}
    return found


def _method(row: Row) -> str:
    return str(row.method.get("name"))


def whole(name: str) -> str:
    """Return ``name`` in quotation marks, cut where it is longer than a cell."""
    return f"'{name}'" if len(name) <= CELL else quoted(name)


def _meant(unknown: str, names: list[str], known: Mapping[str, str]) -> str:
    """Return the question whether another name is meant; what comes before ``unknown`` in a
    misspelt one may be a name itself."""
    entries = sorted(known.keys() - set(names))
    before = names[: names.index(unknown)][-1:]
    forms = (unknown, ", ".join([*before, unknown]))
    return next(filter(None, (did_you_mean(form, entries, known) for form in forms)), "")
