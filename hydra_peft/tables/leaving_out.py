"""What a command line's words leave out of a table that is asked for by its name."""

from __future__ import annotations

from collections.abc import Mapping

from hydra_peft.listed import as_known
from hydra_peft.plain_text import in_a_row
from hydra_peft.runs.collection import Collection
from hydra_peft.runs.selection import words_by_run
from hydra_peft.tables.called import names_by_row, whole
from hydra_peft.tables.grouping import build_tables
from hydra_peft.tables.parts import parts

#: rows that are named at most
_FEW = 5


def leaving_out(collection: Collection, wanted: Mapping[str, str], name: str) -> str:
    """Return a clause on the words of ``wanted`` that leave out the row, or the method, ``name``.

    Where no row is called so, it names the rows whose runs are. Empty where there are no such runs
    among those completed, or some are left.

    Args:
        collection: all runs, or those that words before left in it.
        wanted: as of :func:`hydra_peft.runs.selection.select`.
        name: a label, as tables print it or as records have it, or a method.
    """
    runs = words_by_run(collection, wanted)
    tables, _ = build_tables(
        [record for record, _ in runs],
        defaults=collection.defaults,
        benchmarks=collection.benchmarks,
    )
    words = {id(record): said for record, said in runs}
    called, alike = dict[str, str](), dict[str, str]()
    for part in (part for table in tables for part in parts(table)):
        names = names_by_row(part)
        for row in part.table.rows:
            said = min((words[id(record)] for record in row.records), key=len)
            if as_known(name, names[id(row)]) in names[id(row)]:
                called[part.names[id(row)]] = said
            elif any(record.label == name for record in row.records):
                alike[part.names[id(row)]] = said
    said = min((called or alike).values(), key=len, default="")
    if called and said:
        return f"{said} leaves the runs of {whole(name)} out"
    few = [*alike][:_FEW]
    return f"no row is called {whole(name)}, and {said} leaves out {in_a_row(few)}" if said else ""
