"""One's own images from a folder to a table, under a name of one's own."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from class_folders import write_classes

from hydra_peft.cli import check_data, evaluate, tables
from hydra_peft.runs.record import read_record, write_record


@pytest.fixture
def short() -> list[str]:
    return ["train.epochs=1", "scheduler.warmup_epochs=0", "device=cpu"]


def test_a_yaml_of_ones_own_is_swept_tabulated_and_checked(
    cli: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    root = write_classes(tmp_path / "pictures", {"dog": 10, "cat": 10})
    own = tmp_path / "conf" / "dataset"
    own.mkdir(parents=True)
    text = f"defaults: [folder, _self_]\nname: pets\nroot: {root}\nsplit: [0.5, 0, 0.5]\n"
    (own / "pets.yaml").write_text(text)
    folder = f"--config-dir={own.parent}"
    code, _, err = cli(folder, "-m", "dataset=pets", "method=lora,linear", "dataset.shots=3")
    assert (code, err) == (0, "")
    files = sorted(tmp_path.glob("runs/**/result.json"))
    records = [json.loads(file.read_text()) for file in files]
    assert [record["method"]["name"] for record in records] == ["linear", "lora"]
    assert {record["task"] for record in records} == {"pets"}
    for record in records:
        assert record["data"]["lineage"] == "folder"
        assert record["data"]["classes"] == ["cat", "dog"]
        assert record["data"]["counts"] == {"train": 6, "test": 10}

    monkeypatch.setattr(sys, "argv", ["scripts/tables.py", f"runs={tmp_path}/runs"])
    assert tables.main() == 0
    out = capfd.readouterr().out
    assert "pets" in out
    assert "dataset.shots=3" in out
    assert "NOT CHECKED" not in out

    run = read_record(files[0].parent)
    run.data["classes"].reverse()
    write_record(run, files[0].parent)
    cache = f"cache={tmp_path}/cache"
    monkeypatch.setattr(sys, "argv", ["evaluate.py", f"run={files[0].parent}", cache, "device=cpu"])
    assert evaluate.main() == 2
    said = "class 0 of the data is called 'cat' and was 'dog' for the run in"
    assert said in capfd.readouterr().err

    words = [folder, "dataset=pets", f"paths.cache={tmp_path}/cache", f"out={tmp_path}/c.json"]
    monkeypatch.setattr(sys, "argv", ["scripts/check_data.py", *words])
    assert check_data.main() == 0
    assert (tmp_path / "c.png").is_file()
    monkeypatch.setattr(sys, "argv", ["scripts/check_data.py", folder, "dataset=pets,folder"])
    assert check_data.main() == 2
    told = "'dataset=pets,folder' gives several values where one is needed: give one of them."
    assert capfd.readouterr().err.endswith(f"{told}\n")


def test_data_that_is_wrong_ends_in_a_sentence_before_anything_is_written(
    cli: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    root = write_classes(tmp_path / "pictures", {"dog": 4, "cat": 4})
    (root / "emu").mkdir()
    code, out, err = cli("dataset=folder", f"dataset.root={root}")
    assert (code, out) == (2, "")
    assert err == f"error: {root}/emu is empty: put images of its class there, or remove it.\n"
    (tmp_path / "pets.parquet").write_text("nothing of the kind")
    code, out, err = cli("dataset=parquet", f"dataset.file={tmp_path}/pets.parquet")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: cannot load {tmp_path}/pets.parquet: ")
    assert not (tmp_path / "runs").exists()


def test_a_split_of_data_that_has_its_own_is_told_when_it_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for split in ("train", "val", "test"):
        write_classes(tmp_path / "pictures" / split, {"dog": 2, "cat": 2})
    words = ["dataset=folder", f"dataset.root={tmp_path}/pictures", "dataset.split=[0.5,0,0.5]"]
    monkeypatch.setattr(sys, "argv", ["scripts/check_data.py", *words, f"out={tmp_path}/c.json"])
    assert check_data.main() == 2
    assert "the data has its splits already, and none is split off" in capfd.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["dataset={}"],
        ["dataset=dtd", "paths.data={}"],
        ["dataset=dtd", "paths.data={}/.."],
        ["seed=1", "{}"],
    ],
)
def test_images_in_another_place_are_told_how_to_be_read(
    cli: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    words: list[str],
) -> None:
    root = write_classes(tmp_path / "dtd", {"dog": 1, "cat": 1})
    told = f"images of your own are read with dataset=folder dataset.root={root}"
    code, _, err = cli(*(word.format(root) for word in words))
    assert (code, told in err) == (2, True)
    monkeypatch.setattr(sys, "argv", ["scripts/check_data.py", str(root)])
    assert check_data.main() == 2
    assert told in capfd.readouterr().err
