"""Comparisons as Markdown, CSV and LaTeX."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pandas as pd
import pytest
from vtab1k_records import PAPER_TABLES, VTAB1K, vtab_record

from hydra_peft.runs.record import Record
from hydra_peft.tables.formats import to_markdown
from hydra_peft.tables.published import read_published
from hydra_peft.tables.render_side_by_side import documents, sheet, texts, to_frame
from hydra_peft.tables.side_by_side import SideBySide, compare

PAPER = Path(__file__).resolve().parents[2] / "results" / "paper"
BEST = {
    "accuracy": 70.0,
    "correct": 7,
    "count": 10,
    "split": "test",
    "selection": "best of 10 evaluations on test",
}
HYDRA = [
    vtab_record("Hydra", task, accuracy, seed)
    for task in VTAB1K.tasks
    for seed, accuracy in enumerate((70.0, 71.0))
]


def sides(records: list[Record], number: int = 8) -> list[SideBySide]:
    spec = PAPER_TABLES[number]
    return compare(spec, read_published(PAPER / spec.csv), records)[0]


def test_the_shape_is_the_papers() -> None:
    frame = texts(sides(HYDRA)[0])
    assert list(frame["row"]) == [
        "LoRA (paper)",
        "LoRA (measured)",
        "SeqLoRA (paper)",
        "SeqLoRA (measured)",
        "Hydra (paper)",
        "Hydra (measured)",
        "difference",
    ]
    first = ["row", "parameters (M)", "average (mean over groups)"]
    assert list(frame.columns)[:22] == [*first, *VTAB1K.titles.values()]
    lora, missing, paper, measured, difference = (frame.loc[i] for i in (0, 1, 4, 5, 6))
    assert (lora["CIFAR100"], lora["Sun397"]) == ("72.86", "55.0")
    assert set(missing.drop("row")) == {"-"}
    assert paper["average (mean over groups)"] == "76.5"
    assert measured["average (mean over groups)"] == "70.5 ± 0.7"
    assert difference["average (mean over groups)"] == "-6.0"
    assert paper["mean over groups"] == "76.48 (from cells)"
    assert paper["parameters (M)"] == "0.28"
    assert measured["CIFAR100"] == "70.5 ± 0.7"
    assert measured["mean over groups"] == "70.50 ± 0.71"
    assert measured["parameters (M)"] == "0.24 / 0.28"
    assert measured["seeds (measured)"] == "2"
    assert (difference["CIFAR100"], difference["sNORB-Ele"]) == ("-2.2", "+27.4")
    assert difference["mean over groups"] == "-5.98"


def test_no_difference_has_no_sign() -> None:
    frame = texts(sides([vtab_record("Hydra", "cifar100", 72.7 - 1e-9)])[0])
    assert frame.loc[6, "CIFAR100"] == "0.0"
    assert frame.loc[5, "parameters (M)"] == "0.24 / -"


def test_a_summary_has_parameters_and_average_only() -> None:
    frame = texts(sides(HYDRA, 5)[0])
    average = "average (mean over groups)"
    assert list(frame.columns) == ["row", "parameters (M)", average, "seeds (measured)"]
    assert list(frame[average])[-3:] == ["76.5", "70.5 ± 0.7", "-6.0"]


def test_markdown_says_what_is_what() -> None:
    text = to_markdown(sheet(sides(HYDRA)[0]))
    for part in (
        "### Table 8 of the paper",
        "protocol clean, last epoch",
        "Hydra (measured): hydra r=2+2, vit_base_patch16_224_in21k, pretrained 1a2b3c4d: 19 of",
        "- runs: 19 of 57 (",
        "`python scripts/train.py -m +experiment=table8 protocol=clean "
        "model.checkpoint=ViT-B_16.npz seed=0,1`",
        "(natural 7, specialized 4, structured 8)",
        "without head / with mean head",
    ):
        assert part in text, part
    assert "selected on the test set" not in text


@pytest.mark.parametrize("form", ["markdown", "latex"])
def test_selection_on_the_test_set_is_in_the_title(form: str) -> None:
    records = [vtab_record("Hydra", "dtd", 1.0, metrics=BEST, protocol="official")]
    text = next(iter(documents(sides(records), [], form).values()))
    titles = [line for line in text.splitlines() if line.startswith(("###", r"\caption"))]
    assert titles
    assert all("selected on the test set" in title for title in titles)


def test_csv_reads_back_as_it_was() -> None:
    both = sides([*HYDRA, vtab_record("LoRA", "dtd", 73.2, protocol="paper")])
    frame = to_frame(both)
    text = documents(both, [], "csv")["csv"]
    back = pd.read_csv(io.StringIO(text))
    assert list(back.columns) == list(frame.columns)
    for column in frame.columns:
        same = (back[column] == frame[column]) | (back[column].isna() & frame[column].isna())
        assert same.all(), column
    hydra = back[(back["row"] == "Hydra") & (back["protocol"] == "clean")].set_index("task")
    assert hydra.loc["mean over groups", "paper_source"] == "from cells"
    assert hydra.loc["mean over groups", "paper"] == pytest.approx(76.4804, abs=1e-4)
    assert hydra.loc["cifar100", "difference"] == pytest.approx(-2.2)
    assert hydra.loc["cifar100", "measured_seeds"] == 2


def test_csv_of_the_published_table_alone() -> None:
    back = pd.read_csv(io.StringIO(documents(sides([], 2), [], "csv")["csv"]))
    assert len(back) == 11 * (1 + 19 + 3 + 2)
    assert back["paper"].notna().all()
    assert back["measured_mean"].isna().all()


def test_latex_has_a_rule_after_each_method_and_each_task_once() -> None:
    lines = documents(sides(HYDRA), ["a & b"], "latex")["tex"].splitlines()
    tops = [at for at, line in enumerate(lines) if line == r"\toprule"]
    titles = []
    for top in tops:
        end = lines.index(r"\bottomrule", top)
        rules = [line for line in lines[top:end] if line == r"\midrule"]
        assert len(rules) == 3  # below the titles, LoRA and SeqLoRA
        body = [line for line in lines[top:end] if line.endswith(r"\\")]
        head = next(line for line in body if line.startswith("row & "))
        assert {line.count(" & ") for line in body[body.index(head) :]} == {head.count(" & ")}
        titles += head.removesuffix(r" \\").split(" & ")[1:]
        assert any(line.startswith("Hydra (measured) & ") for line in body)
    tasks = [title for title in VTAB1K.titles.values() if title in titles]
    assert tasks == list(VTAB1K.titles.values())
    assert len(titles) == len(set(titles)) == 1 + 1 + 19 + 3 + 2 + 1
    over = [re.findall(r"multicolumn{(\d+)}{c}{(\w+)}", line) for line in lines]
    counts = dict.fromkeys(("Natural", "Specialized", "Structured"), 0)
    for count, name in (pair for pairs in over for pair in pairs):
        counts[name] += int(count)
    assert counts == {"Natural": 7, "Specialized": 4, "Structured": 8}
    assert r"% note: a \& b" in lines
