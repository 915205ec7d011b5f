"""scripts/predict.py of a run that reads pairs of texts: tables in, a table out, mistakes."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fabricated_models import put_model

import hydra_peft
from hydra_peft.cli import predict
from hydra_peft.cli.text_rows import read_rows
from hydra_peft.config.check import check_config
from hydra_peft.errors import UserError

pytest.importorskip("transformers", reason="text encoders need transformers: hydra-peft[text]")

NAMES = ["entailed", "neutral", "contrary"]
DATA = {"sha256": "a" * 64, "splits": {"test": "c" * 64}, "classes": NAMES}
WORDS = ("model=roberta_mini", "dataset=mini_glue/entail", "method=lora_glue")
PAIRS = [("a tool used for smoothing", "an implement"), ("=1+1", 'a "dog", barking\nloudly')]
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def folder(compose_train: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = (*WORDS, "model.pretrained=false", "dataset.splits.further=[]", "~dataset.sizes.verbs")
    inputs = {"max_length": 128, "tokenizer": "a" * 64}
    place = tmp_path_factory.mktemp("run")
    return put_model(compose_train, place, *words, data=DATA, inputs=inputs)


@pytest.fixture
def call(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Call:
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, str, str]:
        usual = [f"run={folder}"] * (not any(word.startswith("run=") for word in words))
        monkeypatch.setattr(sys, "argv", ["predict.py", *usual, "device=cpu", *words])
        return (predict.main(), *capsys.readouterr())

    return call


def put(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


def test_a_table_of_pairs_becomes_a_table(call: Call, folder: Path, tmp_path: Path) -> None:
    with (tmp_path / "pairs.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["hypothesis", "id", "premise"])
        table.writerows((second, 7, first) for first, second in PAIRS)
    code, out, err = call("texts=pairs.csv")
    assert (code, out, err) == (0, "written: predictions.csv (2 of 2 texts)\n", "")
    with (tmp_path / "predictions.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    shown = ["row", "premise", "hypothesis", "prediction", *(f"p({name})" for name in NAMES)]
    assert list(found[0]) == shown
    assert [row["row"] for row in found] == ["1", "2"]
    assert found[1]["premise"] == "'=1+1"  # no formula
    names, probabilities = hydra_peft.load_run(folder, device="cpu").predict(PAIRS)
    assert [row["prediction"] for row in found] == names
    for row, expected in zip(found, probabilities.tolist(), strict=True):
        assert [float(row[f"p({name})"]) for name in NAMES] == pytest.approx(expected, rel=1e-5)


def test_rows_without_a_text_are_named_and_left_out(call: Call, tmp_path: Path) -> None:
    rows = [{"a": "it", "b": "is"}, {"a": None, "b": "x"}, {"a": "x", "b": 3}, {"a": "x"}]
    rows.append({"a": " ", "b": "x"})
    file = put(tmp_path / "pairs.jsonl", *rows)
    code, out, err = call(f"texts={file}", "columns=a,b", "merged=true")
    assert (code, out) == (
        1,
        "written: predictions.csv (1 of 5 texts, 4 could not be read)\n",
    )
    assert err.splitlines() == [
        f"error: row 2 of {file} has no text in column 'a' (it is null).",
        f"error: row 3 of {file} has no text in column 'b' (it is 3).",
        f"error: row 4 of {file} has no text in column 'b' (it is null).",
        f"error: row 5 of {file} has no text in column 'a' (it is blank).",
    ]
    (tmp_path / "pairs.csv").write_text("a,b\n,\n")
    assert call(f"texts={tmp_path}/pairs.csv", "columns=a,b")[0] == 2
    put(file, rows[1])
    code, _, err = call(f"texts={file}", "columns=a,b")
    assert code == 2
    assert err.endswith("error: none of 1 text could be read: nothing was written.\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "texts is missing: give texts=..."),
        (["images=photos"], "takes texts: give texts=... in the place of images=."),
        (["texts=none.csv"], "none.csv is not there or is not a file."),
        (["texts=a.jsonl"], "no column 'premise' (it has a, b): say with columns=<name>,<name>"),
        (["texts=a.jsonl", "columns=a"], "names 1 column of texts, and this run reads 2 ("),
        (["texts=a.jsonl", "columns=a,a"], "columns names 'a' twice: leave one of them out."),
        (
            ["texts=a.jsonl", "columns=a,b,c"],
            "2 (premise, hypothesis): give columns=<name>,<name>.",
        ),
        (["texts=a.csv", "output=./a.csv"], "output=a.csv is a.csv, which is read here"),
        (["texts=empty.tsv"], "empty.tsv has no rows: there is nothing to predict."),
    ],
)
def test_mistakes_are_told_before_torch_is_loaded(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    put(tmp_path / "a.jsonl", {"a": "x", "b": "y"})
    (tmp_path / "a.csv").write_text("premise,hypothesis\nx,y\n")
    (tmp_path / "empty.tsv").write_text("premise\thypothesis\n")
    monkeypatch.setitem(sys.modules, "hydra_peft.runs.predicting", None)
    code, out, err = call(*words)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_texts_for_a_run_of_images_are_a_sentence(
    compose_train: Callable[..., Any], call: Call, tmp_path: Path
) -> None:
    folder = put_model(compose_train, tmp_path / "images")
    code, _, err = call(f"run={folder}", "texts=a.csv")
    assert code == 2
    assert f"the run in {folder} takes images: give images=... in the place of texts=." in err
    code, _, err = call(f"run={folder}", "images=.", "columns=a")
    assert code == 2
    assert "columns=a is of a table of texts: leave it out." in err


def test_as_many_columns_are_asked_for_as_the_run_reads(
    compose_train: Callable[..., Any], tmp_path: Path
) -> None:
    words = ("model=roberta_mini", "dataset=mini_glue/acceptable", "method=lora_glue")
    config = check_config(compose_train(*words))
    file = put(tmp_path / "one.jsonl", {"a": "x", "b": "y"})
    for columns, said in (
        ("", f"{file} has no column 'sentence' (it has a, b): say with columns=<name> which has "),
        ("c", "no column 'c' (it has a, b): say with columns=<name> which has the text."),
        ("a,b", "columns=a,b names 2 columns of texts, and this run reads 1 (sentence): give "),
    ):
        with pytest.raises(UserError, match=re.escape(said)) as raised:
            read_rows(config, str(file), columns)
        assert "columns=<name>,<name>" not in str(raised.value)
    assert read_rows(config, str(file), "a").texts == [(1, ("x",))]
    assert read_rows(config, str(put(file, {"[a]": "y"})), "[a]").texts == [(1, ("y",))]
