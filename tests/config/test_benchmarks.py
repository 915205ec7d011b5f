"""conf/benchmark: the one list of a benchmark's tasks, its groups and the means tables report."""

from __future__ import annotations

import io
import os
import statistics
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from vtab1k_records import vtab_record

from hydra_peft.cli.check_data import usual_benchmark
from hydra_peft.cli.train import register
from hydra_peft.config.benchmarks import all_benchmarks, find_benchmark
from hydra_peft.config.resolvers import first_protocol
from hydra_peft.errors import UserError
from hydra_peft.report.scores import score_table
from hydra_peft.report.summary import leaders
from hydra_peft.tables import costs, significance
from hydra_peft.tables.grouping import build_tables
from hydra_peft.tables.paper_tables import paper_tables
from hydra_peft.tables.published import read_published
from hydra_peft.tables.render import documents, to_frame

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

TABLE = "{title: x, csv: x.csv, average: avg, experiment: x, rows: {A: {name: lora}}}"


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
    assert [n for n, one in all_benchmarks().items() if one.prepared] == [
        "elevater",
        "real",
        "vtab1k",
    ]


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
    assert "Average: plain mean over tasks." in text
    assert "mean over groups" not in text
    assert find_benchmark("mine", [mine]).titles == {"dtd": "Describable textures", "svhn": "svhn"}
    # Nobody else knows it.
    (unknown,), _ = build_tables(runs)
    assert list(unknown.tasks) == ["svhn", "dtd"]
    assert list(unknown.means) == ["mean over tasks", "mean over groups"]


def test_a_benchmark_of_medians_is_shown_by_them(mine: Path) -> None:
    path = mine / "benchmark" / "mine.yaml"
    path.write_text(f"{MINE}over_seeds: median\nprotocols: [validation, clean]\n", encoding="utf-8")
    scores = (60.0, 61.0, 95.0)
    runs = [
        vtab_record("LoRA", "dtd", score, seed, benchmark="mine", group="textures", protocol=name)
        for name in ("clean", "validation")
        for seed, score in enumerate(scores)
    ]
    tables, _ = build_tables(runs, benchmarks=[mine])
    assert [table.protocol for table in tables] == ["validation", "clean"]
    frame = to_frame(tables)
    assert set(frame["median"]) == {61.0}
    assert set(frame["mean"]) == {72.0}
    text = documents(tables, [], "markdown")["md"]
    assert "61.0 ± 19.9 (mean 72.0)" in text
    assert "then the median of the seeds: that is not the mean of the tasks' medians;" in text
    assert "Cells: median ± sample standard deviation over seeds (and their mean)." in text
    view = score_table(tables[0], [])
    assert [cell.mean for cell in view.parts[0].lines[0].cells] == ["61.0", "61.0"]
    assert "Cells: median over seeds." in view.sentences
    (leader, _) = leaders(tables)
    assert (leader.mean.value, leader.mean_title) == (61.0, "average")


@pytest.mark.parametrize("count", [3, 7])
def test_medians_have_their_own_intervals_and_words(mine: Path, count: int) -> None:
    path = mine / "benchmark" / "mine.yaml"
    path.write_text(f"{MINE}over_seeds: median\n", encoding="utf-8")
    scores = {
        "LoRA": [60.0, 61.0, 62.0, 10.0, 65.0, 66.0, 67.0][:count],
        "Hydra": [59.0, 60.5, 61.0, 58.0, 64.0, 64.5, 65.0][:count],
    }
    runs = [
        vtab_record(
            *(method, "dtd", score, seed),
            benchmark="mine",
            group="textures",
            settings={"method.name": method},
        )
        for method, own in scores.items()
        for seed, score in enumerate(own)
    ]
    tables, _ = build_tables(runs, benchmarks=[mine])
    texts = [
        costs.documents(tables, {}, [], "markdown"),
        significance.documents(tables, "all", [], "markdown"),
    ]
    for text in (found["md"] for found in texts):
        assert "Intervals of medians are between two of the seeds' own numbers" in text
        assert "fewer than six seeds have none." in text
        assert "Wilson" not in text
    # The order is by medians, so the difference of the medians stands first.
    shown = {3: "-0.5 (mean -0.8 [-1.6, -0.1])", 7: "-1.0 (mean +5.9 [-11.3, +23.0])"}[count]
    text = texts[0]["md"]
    assert shown in text
    assert "average, median [95% interval]" in text
    assert "difference of the medians over the seeds of both, and in brackets the mean" in text
    assert "Bold: the best median, and those of rows whose mean difference" in text
    frame = pd.read_csv(io.StringIO(texts[0]["csv"]))
    assert list(frame["median"]) == [statistics.median(own) for own in scores.values()]
    assert list(frame["mean"]) == pytest.approx([statistics.fmean(o) for o in scores.values()])
    assert frame["from_best_median"].tolist()[1] == pytest.approx({3: -0.5, 7: -1.0}[count])
    (leader,) = leaders(tables)
    assert leader.verdict.startswith("Highest median")


def test_runs_take_the_first_protocol_of_their_benchmark() -> None:
    for dataset in ("mini/digits", "svhn", "folder", "not/there"):
        assert first_protocol(dataset) == "clean"


def test_the_default_protocol_follows_the_data_set(root: Path) -> None:
    own = {"mini/cells": "validation"}
    register()
    OmegaConf.register_new_resolver("first_protocol", lambda d: own.get(d, "clean"), replace=True)
    GlobalHydra.instance().clear()
    try:
        # Compositions of the same choices are kept, for all tests: these are nobody else's.
        rare = ["logger=csv", "scheduler=constant"]
        with initialize_config_dir(str(root / "conf"), version_base="1.3"):
            words = ["dataset=mini/cells", *rare]
            assert compose("train", words).protocol.name == "validation"
            assert compose("train", ["dataset=mini/digits", *rare]).protocol.name == "clean"
            assert compose("train", [*words, "protocol=paper"]).protocol.name == "paper"
    finally:
        register()


def test_prepared_data_is_checked_of_the_benchmark_that_has_the_task() -> None:
    assert {usual_benchmark(task) for task in ("all", "svhn", "none such")} == {"vtab1k"}
    assert usual_benchmark("elpv, elpv_type") == "real"


def test_protocols_and_experiments_are_there(root: Path) -> None:
    there = {path.stem for path in (root / "conf" / "protocol").glob("*.yaml")}
    for benchmark in all_benchmarks().values():
        assert set(benchmark.protocols) <= there


def test_a_number_is_one_tables(mine: Path) -> None:
    path = mine / "benchmark" / "mine.yaml"
    table = f"paper: {{scores: {{table16: {TABLE}}}}}\n"
    path.write_text(MINE + table, encoding="utf-8")
    benchmark, spec = paper_tables([mine])[16]
    assert (benchmark.name, spec.csv) == ("mine", "x.csv")
    assert 16 not in paper_tables()
    path.with_name("other.yaml").write_text(MINE + table, encoding="utf-8")
    with pytest.raises(UserError, match="benchmarks 'mine' and 'other' both have a table16"):
        paper_tables([mine])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "mean: {}",
            r"bad\.yaml: unknown key 'benchmark.mean' .*; known here: name, title",
        ),
        ("name: other", "says name: other: a benchmark is called as its file"),
        ("groups: null", "benchmark.groups=null is not allowed: it must be a group of settings"),
        ("groups: {a: [b]}", "benchmark.groups.a=.* must be a group of settings"),
        ("groups: {a: {}}", "benchmark.groups.a has no task"),
        ("means: {best: max}", "each over one of: tasks, groups"),
        ("means: {}", "each over one of: tasks, groups"),
        ("groups: {a: {b: null}, c: {b: null}}", "task 'b' is in two groups"),
        ("prepared: 1", "benchmark.prepared=1 is not allowed: it must be true or false"),
        ("seeds: [0, one]", r"benchmark.seeds\[1\]=one is not allowed: it must be a whole number"),
        ("over_seeds: best", "benchmark.over_seeds=best is not allowed: .* mean, median"),
        ("protocols: []", "benchmark.protocols is empty: name one"),
        ("paper: {decimals: -1}", "paper.decimals=-1 is not allowed: it must be at least 0"),
        ("paper: {metrics: {c: mae}}", "paper.metrics has no task of it: c"),
        (
            "paper: {scores: {table8: {titel: x}}}",
            "unknown key .*scores.table8.titel",
        ),
        (f"paper: {{scores: {{eight: {TABLE}}}}}", "'eight' names no table of a paper"),
        ("paper: {data_sets: {table8: {title: x}}}", r"table8.csv has no value"),
        (
            "paper: {scores: {table5: {title: x, csv: x.csv}}}",
            "either rows and experiment, or",
        ),
        (
            "paper: {scores: {table5: {title: x, csv: x.csv, summary_of: table8}}}",
            "table5 is summary_of=table8: it must be one of paper.scores that has rows",
        ),
        (f"paper: {{scores: {{table8: {{apart: [LoRA], {TABLE[1:]}}}}}", "has no row 'LoRA'"),
        ("paper: {scores: {table8: {title: x, csv: x, experiment: x, rows: {A: {}}}}}", "row 'A'"),
        ("groups: [", "is not valid yaml"),
    ],
)
def test_a_malformed_benchmark_is_one_sentence(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "benchmark").mkdir()
    text = text if "groups" in text else f"groups: {{a: {{b: null}}}}\n{text}"
    (tmp_path / "benchmark" / "bad.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=told):
        find_benchmark("bad", [tmp_path])


def test_a_benchmark_that_is_no_text_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "benchmark").mkdir()
    path = tmp_path / "benchmark" / "bad.yaml"
    path.write_bytes(b"title: l\xe4ufe")
    with pytest.raises(UserError, match=r"bad\.yaml is no text in UTF-8"):
        find_benchmark("bad", [tmp_path])
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(UserError, match=r"bad\.yaml"):
        find_benchmark("bad", [tmp_path])
