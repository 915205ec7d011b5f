"""The specs fit the methods, the configs and the transcribed tables they name."""

from __future__ import annotations

from pathlib import Path

import yaml
from vtab1k_records import METHODS, PAPER_TABLES, TABLE_2, VTAB1K

from hydra_peft.methods import method_class
from hydra_peft.tables.published import read_published


def test_rows_are_recognised_by_what_the_methods_say_they_are() -> None:
    for number in (2, 5, 8):
        spec = PAPER_TABLES[number]
        for label in spec.trained:
            apart = "NOAH's LoRA" if (number, label) == (2, "LoRA") else label
            name, options, _ = {**METHODS, **TABLE_2}[apart]
            identity = method_class(name)(**options).identity()
            assert spec.rows[label].items() <= identity.items()
    assert list(PAPER_TABLES[2].trained) == list(PAPER_TABLES[2].rows)
    own = method_class("lora")(rank=4).identity()
    assert not PAPER_TABLES[2].rows["LoRA"].items() <= own.items()


def test_columns_are_those_of_the_transcribed_tables(root: Path) -> None:
    for spec in PAPER_TABLES.values():
        published = read_published(root / "results" / "paper" / spec.csv)
        first = ["params_m", spec.average, *([spec.pe] if spec.pe else [])]
        tasks = [] if spec.summary else spec.benchmark.tasks
        assert published.columns == (*first, *tasks)
        assert [published.key(row) for row in published.rows] == list(spec.rows)
    assert {group: len(tasks) for group, tasks in VTAB1K.groups.items()} == {
        "natural": 7,
        "specialized": 4,
        "structured": 8,
    }


def test_the_backbone_is_one_that_can_be_chosen(root: Path) -> None:
    path = root / "conf" / "model" / f"{VTAB1K.paper.model}.yaml"
    assert yaml.safe_load(path.read_text())["name"] == VTAB1K.paper.model
