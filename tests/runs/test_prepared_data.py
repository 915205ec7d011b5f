"""Runs on prepared data on disk: what is wrong with it is said before anything is trained."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from prepared_root import write_task

from hydra_peft.config.schema import RunConfig
from hydra_peft.data import decodable
from hydra_peft.data.checking import check_prepared
from hydra_peft.data.sources import DataRequest
from hydra_peft.data.split_roles import BEFORE
from hydra_peft.errors import UserError
from hydra_peft.runs import training as training_module
from hydra_peft.runs.outcome import Outcome
from hydra_peft.runs.tuning import run_protocol
from hydra_peft.tensor_files import read_tensors

DoPrepared = Callable[..., Outcome]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A prepared task of 8, 4 and 10 images, which the runs here take for a whole one."""
    folder = tmp_path / "data" / "svhn"
    write_task(folder, classes=10)
    return folder


@pytest.fixture
def do_prepared(do: Callable[..., Outcome], folder: Path, tmp_path: Path) -> DoPrepared:
    """Do a short run on the prepared task, with overrides."""
    sizes = "dataset.sizes={train800:8,val200:4,train:12,test:10}"
    paths = (f"paths.data={folder.parent}", f"paths.cache={tmp_path}/cache")
    return lambda *overrides: do("dataset=svhn", sizes, *paths, *overrides)


def write_manifest(folder: Path, **values: object) -> None:
    plain = {"schema": 1, "partial": False, "notes": [], "lists": {}, "splits": {}}
    (folder / "manifest.json").write_text(json.dumps({**plain, **values}))


def test_an_incomplete_original_must_be_allowed_and_is_recorded(
    do_prepared: DoPrepared, folder: Path, tmp_path: Path
) -> None:
    write_manifest(folder, partial=True, notes=["Cannot be rebuilt: not VTAB-1k's."])
    with pytest.raises(UserError, match=r"svhn was prepared from an incomplete original"):
        do_prepared()
    assert not (tmp_path / "runs" / "vtab1k").exists()
    outcome = do_prepared("data.allow_partial=true")
    data = json.loads((outcome.folder / "result.json").read_text())["data"]
    assert data["partial"] is True
    assert data["notes"] == ["Cannot be rebuilt: not VTAB-1k's."]
    assert data["lineage"] == "originals"


@pytest.mark.parametrize(
    ("protocol", "taken", "message"),
    [
        ("clean", "train800val200/000009", r"1 of 10 images of test are in train too"),
        ("validation", "train800/000002", r"1 of 4 images of val200 are in train800 too"),
    ],
)
def test_scored_images_that_are_trained_on_are_refused(
    do_prepared: DoPrepared,
    folder: Path,
    tmp_path: Path,
    protocol: str,
    taken: str,
    message: str,
) -> None:
    scored = "val200" if protocol == "validation" else "test"
    shutil.copy(folder / f"images/{taken}.jpg", folder / f"images/{scored}/000001.jpg")
    with pytest.raises(UserError, match=f"vtab1k/svhn: {message}.*not be of unseen images"):
        do_prepared(f"protocol={protocol}")
    assert not (tmp_path / "runs" / "vtab1k").exists()


@pytest.fixture
def tuned(
    configure: Callable[..., RunConfig], folder: Path, tmp_path: Path
) -> Callable[..., Outcome]:
    """Do a short search and run on the prepared task, with overrides."""
    overrides = (
        *("dataset=svhn", f"paths.data={folder.parent}", f"paths.cache={tmp_path}/cache"),
        *("dataset.sizes={train800:8,val200:4,train:12,test:10}", "train.epochs=1"),
        *("protocol.tune=true", "protocol.grid.optimizer.lr=[1e-3]"),
        *("protocol.grid.method.scale=[1]", "protocol.grid.method.dropout=[0]"),
    )
    return lambda *more: run_protocol(configure(*overrides, *more))


def test_a_tuned_run_is_not_skipped_when_the_data_of_its_search_changed(
    tuned: Callable[..., Outcome], folder: Path
) -> None:
    first = tuned()
    assert first.record.data["counts"] == {"train800": 8, "val200": 4, "train": 12, "test": 10}
    assert tuned().skipped
    lines = (folder / "val200.txt").read_text().splitlines(keepends=True)
    (folder / "val200.txt").write_text("".join(reversed(lines)))
    with pytest.raises(UserError, match="holds this run on other data"):
        tuned()
    again = tuned("sweep.on_existing=rerun")
    assert again.record.data["splits"]["train"] == first.record.data["splits"]["train"]
    assert again.record.data["splits"]["val200"] != first.record.data["splits"]["val200"]


def test_an_unreadable_test_image_is_found_before_training(
    do_prepared: DoPrepared, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = folder / "images/test/000007.jpg"
    whole = file.read_bytes()
    file.write_bytes(whole[:500])
    with pytest.raises(UserError, match=r"cannot read the image .*test/000007\.jpg"):
        do_prepared()
    assert not (tmp_path / "runs" / "vtab1k").exists()
    checked = spy_on_checks(monkeypatch)
    file.write_bytes(whole)
    do_prepared()
    assert file in checked  # and what was found readable before is not decoded once more
    assert len(checked) == len(set(checked)) < 10
    do_prepared("seed=1")
    do_prepared("method=lora")
    assert len(checked) == len(set(checked)) < 10


@pytest.mark.parametrize("cache", ["train", "all"])
def test_an_unreadable_test_image_is_found_before_a_search(
    tuned: Callable[..., Outcome], folder: Path, tmp_path: Path, cache: str
) -> None:
    (folder / "images/test/000007.jpg").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"cannot read the image .*test/000007\.jpg"):
        tuned(f"data.cache={cache}")
    assert not (tmp_path / "runs" / "vtab1k").exists()


def test_runs_after_check_data_check_nothing_again(
    do_prepared: DoPrepared, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits = ("train800", "val200", "train", "test")
    task = DataRequest("vtab1k", "svhn", "svhn", (), 10, folder.parent, tmp_path / "cache", splits)
    sizes = {"train800": 8, "val200": 4, "train": 12, "test": 10}
    assert check_prepared(task, sizes, BEFORE, decode=True).status == "ok"
    checked = spy_on_checks(monkeypatch)
    do_prepared("data.cache=none")
    assert checked == []


def spy_on_checks(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    checked: list[Path] = []
    original = decodable.read_image
    monkeypatch.setattr(
        decodable, "read_image", lambda path: checked.append(path) or original(path)
    )
    return checked


def test_the_adapter_is_kept_where_scoring_fails(
    do: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no score")

    monkeypatch.setattr(training_module, "evaluate", fail)
    with pytest.raises(RuntimeError, match="no score"):
        do()
    (record,) = (tmp_path / "runs").rglob("result.json")
    assert json.loads(record.read_text())["status"] == "failed"
    kept = read_tensors(record.with_name("adapter.safetensors"))
    monkeypatch.undo()
    done = read_tensors(do().folder / "adapter.safetensors")
    assert kept.keys() == done.keys()
    assert all(torch.equal(kept[name], done[name]) for name in done)
