"""Runs with both branches, and what is measured of each branch of one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra_peft.errors import UserError
from hydra_peft.figures._branches import (
    AdaptedLayer,
    ImageSettings,
    adapted_layers,
    choose_layer,
    cls_outputs,
    sample_images,
)
from hydra_peft.figures._captions import drawable
from hydra_peft.figures.figure3 import directions
from hydra_peft.tables.labels import PARTIAL

if TYPE_CHECKING:
    from hydra_peft.analysis.subspace import Directions
    from hydra_peft.runs.collection import Collection, FoundRun
    from hydra_peft.runs.rebuild import RebuiltRun
    from hydra_peft.runs.record import Record
    from hydra_peft.tables.parts import Part
    from hydra_peft.tables.rows import Row, Table

#: kinds of CKA that are measured, columns of the table
ALIGNMENTS = (
    "cka_parallel",
    "cka_sequential",
    "cka_between",
    "biased_cka_parallel",
    "biased_cka_sequential",
)


@dataclass(frozen=True)
class TwoBranches:
    """A run with both branches, its row, where that stands in tables, and what is known of it."""

    found: FoundRun
    row: Row
    part: Part
    columns: dict[str, Any]

    @property
    def label(self) -> str:
        """What tables call its row."""
        return self.part.names[id(self.row)]


def with_both(collection: Collection) -> list[TwoBranches]:
    """Return the runs with both branches that stand in tables, by their rows there."""
    from hydra_peft.tables.grouping import build_tables
    from hydra_peft.tables.parts import parts

    drawn = [(run, drawable(run.record)) for run in collection.completed]
    found = {id(record): run for run, record in drawn}
    tables, _ = build_tables(
        [record for _, record in drawn],
        defaults=collection.defaults,
        benchmarks=collection.benchmarks,
    )
    return [
        TwoBranches(found[id(record)], row, part, _columns(table, row, part.names[id(row)], record))
        for table in tables
        for part in parts(table)
        for row in part.table.rows
        for record in row.records
        if _has_both(record)
    ]


def shared_settings(runs: Sequence[TwoBranches]) -> list[str]:
    """Return sentences on the settings that labels leave out, as the rows of a part share them:
    one each part, which is called by what tells it from the others."""
    from hydra_peft.tables.parts import common_in_words

    rows: dict[int, dict[int, Row]] = {}
    for run in runs:
        rows.setdefault(id(run.part), {})[id(run.row)] = run.row
    found = {id(run.part): run.part for run in runs}
    places = [_place(part.table, part.table.rows[0]) for part in found.values()]
    differ = [len(set(kind)) > 1 for kind in zip(*places, strict=True)]
    said = []
    for (key, part), place in zip(found.items(), places, strict=True):
        where = ", ".join(word for word, tells in zip(place, differ, strict=True) if tells and word)
        if words := common_in_words(list(rows[key].values()), part.common):
            said.append(f"On {where}: all with {words}." if where else f"All with {words}.")
    return said


def _place(table: Table, row: Row) -> tuple[str, ...]:
    """Return what tells parts of tables from each other, in words."""
    kinds = (table.benchmark, f"{row.model} ({row.weights})", f"protocol {table.protocol}")
    return *kinds, PARTIAL * row.partial


def _columns(table: Table, row: Row, name: str, record: Record) -> dict[str, Any]:
    from hydra_peft.config.identity import settings_id

    benchmark, *others = filter(None, _place(table, row))
    return {
        "setting": ", ".join([benchmark, name, *others]),
        "identity": settings_id(row.settings),
        "benchmark": record.benchmark,
        "task": record.task,
        "seed": record.seed,
    }


def _has_both(record: Record) -> bool:
    return bool(record.method.get("rank_parallel")) and bool(record.method.get("rank_sequential"))


def measures_of(
    found: FoundRun,
    settings: ImageSettings,
    known: dict[tuple[str, str], Directions],
    notes: list[str],
) -> dict[str, Any]:
    """Return what is measured of one run, by column.

    Args:
        known: directions of weights that runs share, by hash and layer; filled.
        notes: gets what cannot be measured.
    """
    from hydra_peft.backbones.inputs import image_size
    from hydra_peft.runs.rebuild import rebuild

    run = rebuild(found.folder, checkpoint=settings.checkpoint or None)
    layers = adapted_layers(run)
    images = image_size(run.model) is not None
    aligned = _alignments(run, layers, settings, notes) if images else {}
    return {
        "folder": found.folder.name,
        "of": "images" if images else "texts",
        "layers": len(layers),
        **_similarities(layers, str(run.record.weights.get("sha256")), known),
        "layer": "",
        **dict.fromkeys(ALIGNMENTS, math.nan),
        **aligned,
    }


def _similarities(
    layers: list[AdaptedLayer], weights: str, known: dict[tuple[str, str], Directions]
) -> dict[str, Any]:
    """Return the means over layers of each branch's similarity, and of what chance gives."""
    from hydra_peft.analysis.subspace import (
        PARALLEL,
        SEQUENTIAL,
        branch_similarities,
        chance_similarity,
        leading_directions,
        top_count,
    )

    ends: dict[str, list[float]] = {PARALLEL: [], SEQUENTIAL: []}
    chances = []
    count, _ = directions(layers)
    for layer in layers:
        weight = layer.adapter.base.weight
        key = (weights, layer.name)
        if key not in known:
            known[key] = leading_directions(weight, top_count(weight))
        for name, values in branch_similarities(
            layer.adapter, count=count, leading=known[key]
        ).items():
            ends[name].append(float(values[-1, -1]))
        chances.append(chance_similarity(top_count(weight), count, len(weight))[0])
    parallel, sequential, chance = (
        math.fsum(values) / len(values) for values in (ends[PARALLEL], ends[SEQUENTIAL], chances)
    )
    return {
        "similarity_parallel": parallel,
        "similarity_sequential": sequential,
        "similarity_chance": chance,
        "directions": count,
    }


def _alignments(
    run: RebuiltRun, layers: list[AdaptedLayer], settings: ImageSettings, notes: list[str]
) -> dict[str, Any]:
    """Return CKA of each branch with the frozen layer, and which; without images a note alone."""
    from hydra_peft.analysis.alignment import debiased_cka, linear_cka

    try:
        layer = choose_layer(run, layers, "")
        outputs = cls_outputs(run, layer, sample_images(run, settings))
    except UserError as error:
        notes.append(f"no CKA: {error}")
        return {}
    pretrained = outputs["pretrained"]
    return {
        "layer": layer.name,
        "cka_parallel": debiased_cka(pretrained, outputs["parallel"]),
        "cka_sequential": debiased_cka(pretrained, outputs["sequential"]),
        "cka_between": debiased_cka(outputs["parallel"], outputs["sequential"]),
        "biased_cka_parallel": linear_cka(pretrained, outputs["parallel"]),
        "biased_cka_sequential": linear_cka(pretrained, outputs["sequential"]),
    }
