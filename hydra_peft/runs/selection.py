"""Runs chosen by benchmark, protocol, task or method, as command lines name them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from hydra_peft.errors import UserError, did_you_mean
from hydra_peft.listed import listed
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
    for key, text in given.items():
        names = listed(key, text)
        known = sorted({NAMES[key](run.record) for run in runs})
        for name in sorted({*names} - {*known}):
            elsewhere = any(NAMES[key](run.record) == name for run in everything)
            which = f" with {' '.join(before)}" if elsewhere else ""
            raise UserError(
                f"{key}={name}: no run{which} has it{did_you_mean(name, known)}; there are "
                f"{', '.join(known)}."
            )
        runs = [run for run in runs if NAMES[key](run.record) in names]
        before.append(f"{key}={text}")
    unwanted = [(r, words) for r in collection.records if (words := _words(r, wanted))]
    chosen = collection.only(chosen_by(wanted))
    return dataclasses.replace(chosen, unwanted=[*collection.unwanted, *unwanted])


def chosen_by(wanted: Mapping[str, str]) -> Callable[[Record], bool]:
    """Return whether a record is of a run that is ``wanted``, as :func:`select` takes it.

    Raises:
        UserError: see :func:`hydra_peft.listed.listed`.
    """
    names = {key: listed(key, text) for key, text in _given(wanted).items()}
    return lambda record: all(NAMES[key](record) in found for key, found in names.items())


def leaving_out(collection: Collection, wanted: Mapping[str, str], name: str) -> str:
    """Return what of ``wanted`` leaves out the completed runs of the method or label ``name``, or
    has left them out of ``collection``.

    Empty where there are no such runs, or some are left.
    """
    runs = [*((r, _words(r, wanted)) for r in collection.records), *collection.unwanted]
    words = [words for r, words in runs if name in (r.label, NAMES["methods"](r))]
    return min(words, key=len, default="")


def shown_on(collection: Collection, split: str) -> Collection:
    """Return the completed runs of ``collection`` that were scored on ``split``, with that score.

    Raises:
        UserError: none was.
    """
    scored = [run for run in collection.completed if split in run.record.scores]
    if not scored:
        known = sorted({name for run in collection.completed for name in run.record.scores})
        raise UserError(
            f"split={split}: no completed run was scored on it{did_you_mean(split, known)}; there "
            f"are {', '.join(known) or 'none'}."
        )
    shown = [dataclasses.replace(run, record=run.record.shown_on(split)) for run in scored]
    return dataclasses.replace(collection, completed=shown)


def _words(record: Record, wanted: Mapping[str, str]) -> str:
    """Return what of ``wanted`` leaves the run of ``record`` out; empty where nothing does."""
    given = _given(wanted).items()
    return " ".join(f"{k}={text}" for k, text in given if NAMES[k](record) not in listed(k, text))


def _given(wanted: Mapping[str, str]) -> dict[str, str]:
    return {key: text for key, text in wanted.items() if text.strip()}
