"""What a command writes takes the place of nothing that it reads, nor of a run's own files."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from class_folders import write_classes
from omegaconf import OmegaConf

from hydra_peft.cli.output_files import check_name, check_output, check_spares_data
from hydra_peft.config.found_out import found_out
from hydra_peft.config.resolved import Resolved
from hydra_peft.errors import UserError
from hydra_peft.runs.folder import OWN
from hydra_peft.trackers.csv import FILE
from hydra_peft.training import profiling


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run, and a table in a folder that has a second name."""
    monkeypatch.chdir(tmp_path)
    for name in ("run/result.json", "data/in.csv"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("")
    (tmp_path / "linked").symlink_to("data")
    (tmp_path / "link.csv").symlink_to("data/in.csv")
    os.link("data/in.csv", "hard.csv")
    (tmp_path / "to_run.csv").symlink_to("run/metrics.csv")
    return tmp_path


@pytest.mark.parametrize(
    "path", ["data/in.csv", "data/../data/in.csv", "linked/in.csv", "link.csv", "hard.csv"]
)
def test_an_input_is_not_written_to(place: Path, path: str) -> None:
    with pytest.raises(UserError, match=rf"^output={path} is {place}/data/in\.csv, which is read"):
        check_output(Path(path), "output", inputs=[place / "other.csv", place / "data/in.csv"])


def test_nor_is_a_folder_that_is_read(place: Path) -> None:
    with pytest.raises(UserError, match=r"^out=linked/new/a\.json lies in data, which is read"):
        check_output(Path("linked/new/a.json"), "out", inputs=[Path("data")])
    check_output(Path("data2/a.json"), "out", inputs=[place / "data"])


@pytest.mark.parametrize("path", [*(f"run/{own.replace('*', 'val')}" for own in OWN), "to_run.csv"])
def test_nor_is_a_file_of_a_run(place: Path, path: str) -> None:
    with pytest.raises(UserError, match=rf"^out={path} would take the place of .* in {place}/run:"):
        check_output(Path(path), "out")
    check_output(Path("run/predictions.csv"), "out")
    check_output(Path("data") / Path(path).name, "out")


def test_nor_does_a_name_become_one(place: Path) -> None:
    for name in ("metrics", "result", "profile"):
        with pytest.raises(UserError, match=rf"^name={name} would take the place of {name}\."):
            check_name(name, Path("run"))
        check_name(name, place)
    check_name("accuracy", Path("run"))
    check_name(None, Path("run"))


def test_names_that_no_file_can_have_are_told(place: Path) -> None:
    with pytest.raises(UserError, match=r"^out=é+… is too long: a file may have 200 bytes in its"):
        check_output(place.relative_to(place) / ("é" * 101), "out")
    with pytest.raises(UserError, match=r"^out is not allowed: no file or folder can be called a+"):
        check_output(place / ("a" * 256) / "b", "out")
    with pytest.raises(UserError, match=r"^out=b\.txt is not allowed: name a file that ends in .a"):
        check_output(Path("b.txt"), "out", endings=(".a", ".b"))


def test_what_is_no_file_is_not_replaced(place: Path) -> None:
    os.mkfifo("pipe")
    (place / "null").symlink_to(os.devnull)
    for name, kind in (("pipe", "pipe"), ("null", "device")):
        with pytest.raises(UserError, match=rf"^out={name} is no ordinary file but a {kind}: name"):
            check_output(Path(name), "out")
    with pytest.raises(UserError, match=r"^out=data is a folder: name a file"):
        check_output(Path("data"), "out")


def test_all_files_beside_a_record_are_known() -> None:
    assert {FILE, profiling.TABLE, profiling.TRACE} < {*OWN}


@pytest.fixture
def made(compose_train: Callable[..., Any], tmp_path: Path) -> Path:
    """Runs of images in class folders, of a list of some of them, and of prepared data."""
    home = write_classes(tmp_path / "home", {"classes/dog": 5, "classes/cat": 5})
    listed = "".join(
        f"classes/{name}/{n:03d}.png,{name}\n" for name in ("dog", "cat") for n in range(4)
    )
    (home / "labels.csv").write_text(f"file,label\n{listed}")
    task = home / "data/vtab1k/dtd"
    task.mkdir(parents=True)
    datasets = {
        "damaged": [],
        "folder": ["dataset=folder", f"dataset.root={home}/classes", "dataset.split=[0.5,0,0.5]"],
        "list": ["dataset=csv", f"dataset.file={home}/labels.csv", "dataset.split=[0.5,0,0.5]"],
        "list/again": ["dataset=csv", f"dataset.file={home}/labels.csv", "seed=1"],
        "prepared": ["dataset=dtd", f"paths.data={home}/data"],
    }
    for name, words in datasets.items():
        folder = home / "runs" / name
        folder.mkdir(parents=True)
        composed = {} if name == "damaged" else found_out(compose_train(*words), Resolved())
        (folder / "result.json").write_text("")
        (folder / "config.yaml").write_text(OmegaConf.to_yaml(composed, resolve=True))
    return home


@pytest.mark.parametrize(
    ("run", "path"),
    [
        ("list", "labels.csv"),
        ("list", "classes/dog/000.png"),
        ("list", "classes/../link/cat/003.png"),
        ("folder", "classes/dog/004.png"),
        ("prepared", "data/vtab1k/dtd/test.csv"),
    ],
)
def test_data_that_runs_were_made_of_is_not_written_over(made: Path, run: str, path: str) -> None:
    (made / "link").symlink_to("classes")
    (made / "runs/folder.moved").mkdir()
    file = made / path
    check_spares_data([file.with_name(f"new{file.suffix}")], made / "runs")
    file.touch()
    for folder in (made / "runs", made / "runs" / run):
        with pytest.raises(UserError) as caught:
            check_spares_data([made / "runs/folder/new.csv", file], folder)
        assert str(caught.value).startswith(f"{file} is there, as data of the run in {made}/runs/")


def test_results_beside_a_list_are_written_again(made: Path) -> None:
    files = [made / name for name in ("accuracy.csv", "results/gain.png", "labels.txt")]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.touch()
    check_spares_data([*files, made / "classes/dog/004.png"], made / "runs/list")
