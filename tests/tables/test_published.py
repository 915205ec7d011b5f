"""The transcribed tables: what they hold, and where they contradict themselves."""

from __future__ import annotations

from pathlib import Path

import pytest
from vtab1k_records import PAPER_TABLES, VTAB1K

from hydra_peft.errors import UserError
from hydra_peft.tables.published import Number, PublishedRow, read_published
from hydra_peft.tables.summaries import group_weights, task_weights

PAPER = Path(__file__).resolve().parents[2] / "results" / "paper"
#: csv: column of the average, columns before the cells
AVERAGES = {
    "table1_elevater.csv": ("avg_acc", 3),
    "table2_vtab1k.csv": ("avg_acc", 2),
    "table3_glue.csv": ("avg", 2),
    "table8_vtab1k_head_to_head.csv": ("avg_acc", 2),
    "table9_glue_head_to_head.csv": ("avg", 2),
    "table10_elevater_position.csv": ("avg_acc", 2),
}
#: the published rows whose average no rounding of the cells explains
CONTRADICTIONS = {("table1_elevater.csv", "Kadaptation"), ("table2_vtab1k.csv", "LoRA")}


def row(csv: str, label: str) -> PublishedRow:
    return next(row for row in read_published(PAPER / csv).rows if row.label == label)


def test_hydra_has_the_two_means_of_its_cells() -> None:
    for csv in ("table2_vtab1k.csv", "table8_vtab1k_head_to_head.csv"):
        hydra = row(csv, "Hydra")
        assert round(hydra.mean(group_weights(VTAB1K.tasks)), 2) == 76.48
        assert round(hydra.mean(task_weights(VTAB1K.tasks)), 2) == 74.21
        assert hydra.numbers["avg_acc"] == Number("76.5", 76.5)


def test_printed_averages_are_those_of_the_cells_but_for_two() -> None:
    found = set()
    for csv, (average, first) in AVERAGES.items():
        table = read_published(PAPER / csv)
        tasks = dict.fromkeys(table.columns[first:], "")
        weights = group_weights(VTAB1K.tasks) if "vtab1k" in csv else task_weights(tasks)
        assert set(weights) == set(tasks)
        found |= {
            (csv, row.label)
            for row in table.rows
            if not row.is_explained(row.numbers[average], weights)
        }
    assert found == CONTRADICTIONS


def test_summaries_repeat_the_averages_of_the_detailed_tables() -> None:
    for summary, detailed in (
        ("table5_vtab1k_summary.csv", "table8_vtab1k_head_to_head.csv"),
        ("table6_glue_summary.csv", "table9_glue_head_to_head.csv"),
        ("table7_position_summary.csv", "table10_elevater_position.csv"),
    ):
        table = read_published(PAPER / summary)
        rows = read_published(PAPER / detailed).rows
        for short, full in zip(table.rows, rows, strict=True):
            assert short.label == full.label
            assert short.numbers == {c: full.numbers[c] for c in table.columns}


def test_every_transcribed_table_can_be_read() -> None:
    files = sorted(PAPER.glob("*.csv"))
    assert len(files) == 15
    for path in files:
        assert read_published(path).rows
    assert {spec.csv for spec in PAPER_TABLES.values()} <= {path.name for path in files}


def test_numbers_stand_as_printed() -> None:
    lora = row("table8_vtab1k_head_to_head.csv", "LoRA").numbers
    assert (lora["cifar100"].text, lora["sun397"].text) == ("72.86", "55.0")
    assert (lora["cifar100"].rounding, lora["sun397"].rounding) == pytest.approx((0.005, 0.05))


def test_no_mean_over_a_missing_cell(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("method,a,b\nx,1.0,-\ny,1.0,\n")
    for one in read_published(path).rows:
        assert one.numbers["b"] is None
        assert one.mean({"a": 0.5, "b": 0.5}) is None
        assert one.mean({"a": 1.0}) == 1.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read .*: No such file"),
        ("", "not a table"),
        ("method,a,a\nx,1,2\n", "not a table"),
        ("method,a\nx,1,2\n", "3 cells in row 'x'"),
        ("method,a\nx,much\n", "'much' in column a"),
        ("method,a\nx,nan\n", "'nan' in column a"),
        ("method,a\nx,7_6\n", "'7_6' in column a"),
    ],
)
def test_a_damaged_table_is_one_sentence(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "t.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_published(path)
