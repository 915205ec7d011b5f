"""conf/benchmark: the one list of a benchmark's tasks, its groups and the means tables report."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from vtab1k_records import vtab_record

from hydra_peft.config.benchmarks import all_benchmarks, find_benchmark
from hydra_peft.errors import UserError
from hydra_peft.tables.published import read_published
from hydra_peft.tables.render import documents, to_frame
from hydra_peft.tables.rows import build_tables

MINE = """
title: Mine
groups:
  textures:
    dtd: Describable textures
  digits:
    svhn: null
means:
  average: tasks
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A folder, as --config-dir takes one, with a benchmark of its own."""
    (tmp_path / "conf" / "benchmark").mkdir(parents=True)
    (tmp_path / "conf" / "benchmark" / "mine.yaml").write_text(MINE, encoding="utf-8")
    return tmp_path / "conf"


def test_each_data_set_is_in_its_benchmark_and_group(root: Path) -> None:
    found: dict[str, dict[str, str]] = {}
    for path in (root / "conf" / "dataset").rglob("*.yaml"):
        task = yaml.safe_load(path.read_text(encoding="utf-8"))
        if task["benchmark"] == "own":
            continue  # named by who brings the data
        found.setdefault(task["benchmark"], {})[task["name"]] = task["group"]
    assert found == {name: one.tasks for name, one in all_benchmarks().items()}


def test_vtab1k_has_the_order_and_titles_of_the_published_table(root: Path) -> None:
    published = read_published(root / "results" / "paper" / "table8_vtab1k_head_to_head.csv")
    tasks = list(find_benchmark("vtab1k").tasks)
    assert [column for column in published.columns if column in tasks] == tasks
    assert len(tasks) == 19
    assert [n for n, one in all_benchmarks().items() if one.prepared] == ["real", "vtab1k"]


def test_a_benchmark_of_a_users_folder_has_its_own_groups_and_means(mine: Path) -> None:
    runs = [
        vtab_record("LoRA", task, score, benchmark="mine", group=group)
        for task, group, score in (("svhn", "digits", 80.0), ("dtd", "textures", 60.0))
    ]
    (table,), _ = build_tables(runs, benchmarks=[mine])
    # In alphabetical order digits would be the first.
    assert list(table.tasks.items()) == [("dtd", "textures"), ("svhn", "digits")]
    assert table.means == {"average": "tasks"}
    frame = to_frame([table])
    assert list(frame["task"]) == ["dtd", "svhn", "average"]
    assert list(frame["mean"]) == [60.0, 80.0, 70.0]
    text = documents([table], [], "markdown")["md"]
    assert "Groups: textures: dtd; digits: svhn." in text
    assert "Average: plain mean of their columns." in text
    assert "mean over groups" not in text
    assert find_benchmark("mine", [mine]).titles == {"dtd": "Describable textures", "svhn": "svhn"}
    # Nobody else knows it.
    (unknown,), _ = build_tables(runs)
    assert list(unknown.tasks) == ["svhn", "dtd"]
    assert list(unknown.means) == ["mean over tasks", "mean over groups"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("groups: {a: {b: null}}\nmean: {}", "unknown key 'mean'; known here: title, groups"),
        ("title: x", "needs 'groups'"),
        ("groups: {a: [b]}", "needs 'groups'"),
        ("groups: {a: {b: null}}\nmeans: {best: max}", "each over one of: tasks, groups"),
        ("groups: {a: {b: null}, c: {b: null}}", "a task in two groups"),
        ("groups: {a: {b: null}}\nprepared: 1", "must be true or false"),
        ("groups: [", "is not valid yaml"),
    ],
)
def test_a_malformed_benchmark_is_one_sentence(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "benchmark").mkdir()
    (tmp_path / "benchmark" / "bad.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=told):
        find_benchmark("bad", [tmp_path])
