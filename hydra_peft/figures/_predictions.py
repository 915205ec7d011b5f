"""Predictions that runs kept, by task, method and seed; and why other runs have none."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from hydra_peft.errors import UserError
from hydra_peft.figures._captions import drawable
from hydra_peft.figures._sheets import Selection, Sheet, left_out
from hydra_peft.runs.kept_predictions import has_classes, is_classification, why_none
from hydra_peft.runs.selection import NAMES, select
from hydra_peft.tables.grouping import run_label
from hydra_peft.tables.labels import weights_label

if TYPE_CHECKING:
    from hydra_peft.runs.collection import Collection, FoundRun
    from hydra_peft.runs.predictions import ClassPredictions
    from hydra_peft.runs.record import Record
    from hydra_peft.tables.overrides import Defaults

#: predictions of one task, by method and seed
_BySeed = dict[str, dict[int, "ClassPredictions"]]


def beside(
    sheet: Sheet, without: Mapping[str, Sequence[Record]], defaults: Defaults | None
) -> Sheet:
    """Return ``sheet``, of runs with predictions, with those runs named that would be in it too.

    Args:
        sheet: before rows are taken out of it.
        without: the others by reason.
        defaults: as of :func:`~hydra_peft.tables.grouping.build_tables`.
    """
    table, first = sheet.table, sheet.table.rows[0]
    own = (table.benchmark, table.protocol, first.model, first.weights, first.partial)
    called = {row.label: sheet.label(row) for row in table.rows}

    def name(record: Record) -> str:
        whole = run_label(record, defaults)
        label = called.get(whole) or run_label(record, defaults, sheet.part.common)
        return _of_run(record, label)

    def is_of_it(record: Record) -> bool:
        on = (record.model, weights_label(record), bool(record.data.get("partial")))
        return (record.benchmark, record.protocol, *on) == own

    gone = {reason: [*map(name, filter(is_of_it, found))] for reason, found in without.items()}
    runs = " with predictions" * any(gone.values())
    return dataclasses.replace(sheet.without(gone), runs=runs)


def _of_run(record: Record, label: str) -> str:
    return f"{label} on {record.task} seed {record.seed}"


def with_predictions(
    collection: Collection, settings: Selection
) -> tuple[Collection, dict[str, list[Record]]]:
    """Return the runs that kept which class they took each example for; the others by reason.

    Raises:
        UserError: no run has.
    """
    from hydra_peft.runs.predictions import read_class_predictions

    wanted = {key: getattr(settings, key) for key in NAMES}
    chosen = select(dataclasses.replace(collection, others=[]), wanted)
    kept: list[FoundRun] = []
    without: dict[str, list[Record]] = {}
    for run in chosen.completed:
        record = run.record
        if has_classes(run.folder, record):
            try:
                read_class_predictions(run.folder)
            except UserError as error:
                reason = str(error).replace(f"{run.folder}/", "").rstrip(".")
            else:
                kept.append(run)
                continue
        else:
            reason = _why_none(record)
        without.setdefault(reason, []).append(drawable(record))
    if not kept and chosen.completed:
        names = {
            reason: [_of_run(record, run_label(record, collection.defaults)) for record in records]
            for reason, records in without.items()
        }
        listed = " ".join(left_out(names))
        if not any(is_classification(run.record) for run in chosen.completed):
            raise UserError(f"none of these runs has classes that could agree: {listed}")
        raise UserError(
            f"none of these runs kept its predictions: {listed} Do them again with "
            "save.predictions=true sweep.on_existing=rerun."
        )
    return dataclasses.replace(chosen, completed=kept), without


def _why_none(record: Record) -> str:
    """Return why a run did not keep which class it took each example for."""
    if not is_classification(record):
        return "it is no classification"
    return why_none(record, record.split) or "it has no predictions.safetensors"


def predictions_by_task(sheet: Sheet) -> Iterator[tuple[str, _BySeed]]:
    """Yield each task with its predictions, of seeds that a method has on all tasks: a mean over
    tasks is of the same pairs of seeds on each.

    Raises:
        UserError: two runs of one task were scored on different examples.
    """
    found = {task: _read(sheet, task) for task in sheet.table.tasks}
    methods = dict.fromkeys(method for runs in found.values() for method in runs)
    seeds = {
        m: set.intersection(*(set(runs.get(m, ())) for runs in found.values())) for m in methods
    }
    for task, runs in found.items():
        yield (
            task,
            {m: {s: run for s, run in own.items() if s in seeds[m]} for m, own in runs.items()},
        )


def _read(sheet: Sheet, task: str) -> _BySeed:
    """Return the predictions of ``task`` by method and seed.

    Raises:
        UserError: two runs were scored on different examples.
    """
    import torch

    from hydra_peft.runs.predictions import read_class_predictions
    from hydra_peft.runs.rebuild import split_hash

    found: _BySeed = {}
    first: ClassPredictions | None = None
    for row in sheet.table.rows:
        for record in row.records:
            if record.task != task:
                continue
            run = read_class_predictions(sheet.folders[id(record)])
            first = first or run
            hashes = [split_hash(each.record.data, each.split) for each in (first, run)]
            if hashes[0] != hashes[1] or not torch.equal(first.targets, run.targets):
                raise UserError(
                    f"{first.folder} and {run.folder} were scored on different examples of {task}: "
                    "give methods= or tasks= that leave one of them out."
                )
            found.setdefault(sheet.label(row), {})[record.seed] = run
    return found
