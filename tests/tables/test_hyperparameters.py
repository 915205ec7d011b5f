"""Tables 11 to 15 beside conf."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pytest

from hydra_peft.cli.defaults import default_hyperparameters, expected_sizes, has_benchmark
from hydra_peft.errors import UserError
from hydra_peft.tables import datasets, hyperparameters
from hydra_peft.tables.paper_tables import paper_tables
from hydra_peft.tables.published import read_published

PAPER = Path(__file__).resolve().parents[2] / "results" / "paper"


def hyperparameter_texts(number: int, found: hyperparameters.Found) -> dict[str, str]:
    benchmark, spec = paper_tables()[number]
    published = read_published(PAPER / spec.csv)
    return hyperparameters.documents(number, benchmark, spec, published, found, "clean", "markdown")


def dataset_texts(number: int, found: datasets.Found) -> dict[str, str]:
    benchmark, spec = paper_tables()[number]
    published = read_published(PAPER / spec.csv)
    return datasets.documents(number, benchmark, spec, published, found, "markdown")


def test_conf_has_the_papers_hyperparameters_of_vtab1k() -> None:
    found = default_hyperparameters("vtab1k", protocol="clean", method="hydra")
    assert found["flowers102"] == {
        "batch_size": 64,
        "epochs": 100,
        "learning_rate": 5e-3,
        "weight_decay": 1e-4,
        "dropout": 0.0,
    }
    text = hyperparameter_texts(12, found)["md"]
    assert "76 of 76 values agree" in text


def test_the_released_code_has_another_dropout_and_batch_size_on_eurosat(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hydra_peft.cli.defaults._tasks", lambda _: ["eurosat"])
    found = default_hyperparameters("vtab1k", protocol="official", method="hydra")["eurosat"]
    assert (found["batch_size"], found["dropout"]) == (64, 0.2)


@pytest.mark.long
def test_the_released_code_differs_on_eurosat_as_the_readme_of_the_protocols_says() -> None:
    found = default_hyperparameters("vtab1k", protocol="official", method="hydra")
    files = hyperparameter_texts(12, found)
    assert "74 of 76 values agree" in files["md"]
    assert "EuroSAT: batch size is 16 in the paper, 64 in conf." in files["md"]
    assert "EuroSAT: dropout is 0.0 in the paper, 0.2 in conf." in files["md"]
    frame = pd.read_csv(io.StringIO(files["csv"]))
    assert (frame["paper"] != frame["conf"]).sum() == 2


@pytest.mark.parametrize("number", [11, 13])
def test_benchmarks_that_conf_lacks_are_said_to_be_missing(number: int) -> None:
    text = hyperparameter_texts(number, {})["md"]
    assert "yet: there is nothing to compare with" in text
    assert "(conf)" not in text


def test_has_benchmark() -> None:
    assert has_benchmark("vtab1k")
    assert not has_benchmark("no such benchmark")
    assert default_hyperparameters("no such", protocol="clean", method="hydra") == {}


def test_a_table_of_other_tasks_is_refused() -> None:
    other = read_published(PAPER / paper_tables()[13][1].csv)
    with pytest.raises(UserError, match="lacks cifar100, caltech101"):
        hyperparameters.documents(12, *paper_tables()[12], other, {}, "", "markdown")
    with pytest.raises(UserError, match="has not the data sets of Table 14"):
        datasets.documents(14, *paper_tables()[14], other, {}, "markdown")


def test_sizes_of_vtab1k_differ_in_two_places() -> None:
    files = dataset_texts(15, expected_sizes("vtab1k"))
    text = files["md"]
    assert "- Sun397: test size is 36,032 in the paper, 21,750 here." in text
    assert "- SmallNORB/elevation: #labels is 18 in the paper, 9 here." in text
    frame = pd.read_csv(io.StringIO(files["csv"]))
    assert (frame["paper"] != frame["here"]).sum() == 2
    assert len(frame) == 19 * 3


def test_data_sets_without_a_column_of_scores_are_named() -> None:
    text = dataset_texts(14, {})["md"]
    assert "no table of scores has a column for STL10, SVHN, SUN397." in text
    assert "| 262,144 " in text
    assert "conf has no benchmark elevater yet" in text
    caltech = {"caltech101": {"labels": 102, "train_size": 3060, "test_size": 6084}}
    text = dataset_texts(14, caltech)["md"]
    assert "Caltech101: #labels is 101 in the paper, 102 here." in text
