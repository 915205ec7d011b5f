"""The specs fit the methods, the configs and the transcribed tables they name."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from vtab1k_records import METHODS

from hydra_peft.errors import UserError
from hydra_peft.methods import method_class
from hydra_peft.tables.paper_tables import PAPER_TABLES, VTAB1K, paper_table
from hydra_peft.tables.published import read_published


def test_rows_are_recognised_by_what_the_methods_say_they_are() -> None:
    for spec in PAPER_TABLES.values():
        for label, items in spec.rows.items():
            name, options, _ = METHODS[label]
            identity = method_class(name)(**options).identity()
            assert items.items() <= identity.items()


def test_columns_are_those_of_the_transcribed_tables(root: Path) -> None:
    for number in (2, 8):
        published = read_published(root / "results" / "paper" / PAPER_TABLES[number].csv)
        assert published.columns == ("params_m", "avg_acc", *VTAB1K.tasks)
    assert {group: len(tasks) for group, tasks in VTAB1K.groups.items()} == {
        "natural": 7,
        "specialized": 4,
        "structured": 8,
    }


def test_the_backbone_is_one_that_can_be_chosen(root: Path) -> None:
    path = root / "conf" / "model" / f"{VTAB1K.backbone}.yaml"
    assert yaml.safe_load(path.read_text())["name"] == VTAB1K.backbone


def test_an_unknown_number_is_one_sentence() -> None:
    assert paper_table("8") == (8, PAPER_TABLES[8])
    with pytest.raises(UserError, match=r"table=08 is not known: it must be one of 2, 5, 8\.$"):
        paper_table("08")
