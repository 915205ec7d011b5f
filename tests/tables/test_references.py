"""Scores of what is no run: below the tables that people read, and in no line of a run's."""

from __future__ import annotations

import dataclasses
import re

import pytest
from fabricated_runs import record
from scored_records import scored

from hydra_peft.config.benchmarks import find_benchmark
from hydra_peft.runs.record import Record
from hydra_peft.tables.grouping import build_tables
from hydra_peft.tables.render import documents

#: of conf/benchmark/mini_glue.yaml
BAG = "bag of words (1- and 2-grams, linear models)"
SPLITS = {"train": "train", "fit": "fit", "val": "val", "test": "test", "further": ["verbs"]}


def runs() -> list[Record]:
    """One run of each of two tasks of five, whose scores are of two metrics."""
    found = []
    for task in ("similar", "entail"):
        science = {"dataset": {"name": task, "benchmark": "mini_glue", "splits": SPLITS}}
        of = {"benchmark": "mini_glue", "task": task, "group": "language", "model": "roberta_mini"}
        found.append(record(**of, science=science))
    return [scored(found[0], "pearson", 31.5), found[1]]


def shown(form: str, records: list[Record]) -> dict[str, str]:
    tables, _ = build_tables(records)
    return documents(tables, [], form)


def plain(text: str) -> str:
    return re.sub(r"<[^>]*>|\\\\|\\(?=[-_(])", "", text)


@pytest.mark.parametrize(
    ("form", "ending"), [("markdown", "md"), ("latex", "tex"), ("html", "html")]
)
def test_they_stand_below_the_tasks_of_a_table(form: str, ending: str) -> None:
    text = plain(shown(form, runs())[ending])
    said = f"For comparison, {BAG}: entail 35.2"
    assert text.count("For comparison") == len(build_tables(runs())[0])
    assert said in text
    assert "similar 3.2" in text
    assert "supersense" not in text  # of which there is no run
    assert text.index("hydra r=2+2") < text.index(said)


def test_files_for_programs_have_runs_alone() -> None:
    text = shown("csv", runs())["csv"]
    assert "hydra r=2+2" in text
    assert "bag of words" not in text


def test_beside_runs_on_a_part_it_is_said_that_they_are_of_the_whole() -> None:
    part = [dataclasses.replace(r, settings={"dataset.train_size": 200}) for r in runs()]
    assert (
        f"For comparison, {BAG}, trained on the whole training split: "
        in shown("markdown", part)["md"]
    )


def test_they_are_of_test_sets_alone() -> None:
    (_, entail) = runs()
    for split in ("val", "verbs"):
        other = dataclasses.replace(
            entail,
            scores={split: entail.scores["test"]},
            selection={**entail.selection, "split": split},
        )
        assert "For comparison" not in shown("markdown", [other])["md"]


def test_mini_glue_has_one_for_each_of_its_tasks() -> None:
    benchmark = find_benchmark("mini_glue")
    assert list(benchmark.references) == [BAG]
    assert list(benchmark.references[BAG]) == list(benchmark.tasks)
