"""The mean head of a row is over the tasks of the means, whichever of these the row has."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import pytest
from vtab1k_records import vtab_record

from hydra_peft.report.scores import score_table
from hydra_peft.runs.record import Record
from hydra_peft.tables.grouping import build_tables
from hydra_peft.tables.mean_heads import heads_sentence, mean_head
from hydra_peft.tables.parts import Part, parts
from hydra_peft.tables.render import documents, to_frame
from hydra_peft.tables.rows import Row, Table

SAID = (
    "With mean head: averaged over the tasks of the means, also in rows without runs on some of "
    "these"
)


def table(*records: Record) -> Table:
    sweep = [vtab_record(m, t, 70.0, 0) for m in ("LoRA", "SeqLoRA") for t in ("dtd", "svhn")]
    (one,), _ = build_tables([*sweep, *records])
    return one


def of(part: Part, name: str) -> Row:
    return next(row for row in part.table.rows if row.method["name"] == name)


def test_a_task_that_no_mean_is_over_is_not_in_the_mean_head() -> None:
    (part,) = parts(table(vtab_record("LoRA", "dmlab", 70.0, 0)))
    row = of(part, "lora")
    assert list(part.averaged) == ["dtd", "svhn"]
    assert mean_head(part, row) == (row.heads["dtd"] + row.heads["svhn"]) / 2
    assert mean_head(part, row) != fmean(row.heads.values())
    assert heads_sentence(part) == []


@pytest.mark.parametrize("task", ["dtd", "dmlab"])
def test_a_row_that_lacks_tasks_has_the_mean_head_of_the_others(task: str) -> None:
    one = table(vtab_record("Hydra", task, 70.0, 0))
    (part,) = parts(one)
    assert mean_head(part, of(part, "hydra")) == mean_head(part, of(part, "lora"))
    assert heads_sentence(part) == [f"{SAID}."]
    for form in ("markdown", "latex", "html"):
        text = next(iter(documents([one], [], form).values()))
        assert "averaged over the tasks of the means" in text
    (body,) = score_table(one, []).parts
    assert f"{SAID}." in body.sentences
    heads = {line.with_head.value - line.adapter.value for line in body.lines}
    assert len(heads) == to_frame([one])["mean_head_parameters"].nunique() == 1


@pytest.mark.parametrize(
    "other", [{"head.name": "linear", "head.bias": False}, {"model.arguments": {"embed_dim": 192}}]
)
def test_a_head_that_no_other_row_has_is_averaged_over_its_own_tasks(other: dict[str, Any]) -> None:
    one = vtab_record("Hydra", "dtd", 70.0, 0)
    settings = {**one.settings, **other}
    (part,) = parts(table(vtab_record("Hydra", "dtd", 70.0, 0, settings=settings)))
    row = of(part, "hydra")
    assert mean_head(part, row) == row.heads["dtd"]
    (said,) = heads_sentence(part)
    assert f"; of {part.names[id(row)]} over own tasks, as no row has such a head on" in said
    assert "also in rows" not in said
