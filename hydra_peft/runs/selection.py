"""Runs chosen by benchmark, protocol, task or method, as command lines name them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping

from hydra_peft.errors import UserError, did_you_mean
from hydra_peft.listed import in_one_pair, listed
from hydra_peft.plain_text import in_a_row
from hydra_peft.runs.collection import Collection
from hydra_peft.runs.record import Record

#: what a run is called under each key
NAMES: dict[str, Callable[[Record], str]] = {
    "benchmark": lambda record: record.benchmark,
    "protocol": lambda record: record.protocol,
    "tasks": lambda record: record.task,
    "methods": lambda record: str(record.row_method.get("name")),
}


def describe_selection(wanted: Mapping[str, str]) -> list[str]:
    """Return the sentence that says what was asked for; nothing where that is everything."""
    given = _given(wanted)
    said = " ".join(f"{key}={text}" for key, text in given.items())
    return [f"only runs with {said} are shown."] if given else []


def select(collection: Collection, wanted: Mapping[str, str]) -> Collection:
    """Return ``collection`` with the wanted runs alone.

    Args:
        collection: runs, completed or not.
        wanted: names with commas between them by key of :data:`NAMES`; empty is not given.

    Raises:
        UserError: a name that no run has beside what the other keys ask for; see also
            :func:`hydra_peft.listed.listed`.
    """
    given = _given(wanted)
    if not given:
        return collection
    runs = everything = [*collection.completed, *collection.others]
    before = list[str]()
    for key, names in _named(given, [run.record for run in everything]).items():
        known = sorted({NAMES[key](run.record) for run in runs})
        for name in sorted({*names} - {*known}):
            elsewhere = any(NAMES[key](run.record) == name for run in everything)
            which = f" with {' '.join(before)}" if elsewhere else ""
            meant = in_one_pair(name, given[key]) or did_you_mean(name, known)
            raise UserError(
                f"{key}={in_a_row([name])}: no run{which} has it{meant}; there are "
                f"{', '.join(known)}."
            )
        runs = [run for run in runs if NAMES[key](run.record) in names]
        before.append(f"{key}={given[key]}")
    unwanted = [(record, words) for record, words in _words(collection, given) if words]
    chosen = collection.only(chosen_by(given, collection))
    return dataclasses.replace(chosen, unwanted=[*collection.unwanted, *unwanted])


def chosen_by(wanted: Mapping[str, str], collection: Collection) -> Callable[[Record], bool]:
    """Return whether a record is of a run of ``collection`` that is ``wanted``, as :func:`select`
    takes it.

    Raises:
        UserError: see :func:`hydra_peft.listed.listed`.
    """
    records = [run.record for run in (*collection.completed, *collection.others)]
    names = _named(_given(wanted), records)
    return lambda record: all(NAMES[key](record) in found for key, found in names.items())


def words_by_run(collection: Collection, wanted: Mapping[str, str]) -> list[tuple[Record, str]]:
    """Return the record of each completed run, and what of ``wanted`` leaves it out of
    ``collection``, or has before; empty where nothing does."""
    return [*_words(collection, _given(wanted)), *collection.unwanted]


def shown_on(collection: Collection, split: str, wanted: Mapping[str, str]) -> Collection:
    """Return the completed runs of ``collection`` that were scored on ``split``, with that score.

    Args:
        collection: what :func:`select` has left.
        split: its name.
        wanted: what they were selected by.

    Raises:
        UserError: none was.
    """
    scored = [run for run in collection.completed if split in run.record.scores]
    if not scored:
        known = sorted({name for run in collection.completed for name in run.record.scores})
        which = " ".join(["", *(f"{key}={text}" for key, text in _given(wanted).items())])
        which = f" with{which}" if which else ""
        raise UserError(
            f"split={split}: no completed run{which} was scored on it{did_you_mean(split, known)}; "
            f"there are {', '.join(known) or 'none'}."
        )
    shown = [dataclasses.replace(run, record=run.record.shown_on(split)) for run in scored]
    return dataclasses.replace(collection, completed=shown)


def _words(collection: Collection, given: Mapping[str, str]) -> list[tuple[Record, str]]:
    """Return each completed run's record, and what of ``given`` leaves it out; empty where nothing
    does."""
    records = [run.record for run in (*collection.completed, *collection.others)]
    named = _named(given, records).items()
    return [
        (
            record,
            " ".join(
                f"{key}={given[key]}" for key, names in named if NAMES[key](record) not in names
            ),
        )
        for record in collection.records
    ]


def _named(given: Mapping[str, str], records: Iterable[Record]) -> dict[str, list[str]]:
    """Return the names that are ``given`` by key; ``records`` are of the runs that there are."""
    known = list(records)
    return {k: listed(k, text, {NAMES[k](r) for r in known}) for k, text in given.items()}


def _given(wanted: Mapping[str, str]) -> dict[str, str]:
    return {key: text for key, text in wanted.items() if text.strip()}
