"""Runs on prepared data on disk: what is wrong with it is said before anything is trained."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from prepared_root import write_task

from hydra_peft.config.schema import RunConfig
from hydra_peft.errors import UserError
from hydra_peft.runs.run import Outcome
from hydra_peft.runs.tuning import run_protocol

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
    assert not (tmp_path / "runs").exists()
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
    assert not (tmp_path / "runs").exists()


def test_a_tuned_run_is_not_skipped_when_the_data_of_its_search_changed(
    configure: Callable[..., tuple[RunConfig, str]], folder: Path, tmp_path: Path
) -> None:
    tuned = (
        *("dataset=svhn", f"paths.data={folder.parent}", f"paths.cache={tmp_path}/cache"),
        *("dataset.sizes={train800:8,val200:4,train:12,test:10}", "train.epochs=1"),
        *("protocol.tune=true", "protocol.grid.lr=[1e-3]"),
        *("protocol.grid.scale=[1]", "protocol.grid.dropout=[0]"),
    )
    first = run_protocol(*configure(*tuned))
    assert first.record.data["counts"] == {"train800": 8, "val200": 4, "train": 12, "test": 10}
    assert run_protocol(*configure(*tuned)).skipped
    lines = (folder / "val200.txt").read_text().splitlines(keepends=True)
    (folder / "val200.txt").write_text("".join(reversed(lines)))
    with pytest.raises(UserError, match="holds this run on other data"):
        run_protocol(*configure(*tuned))
    again = run_protocol(*configure(*tuned, "sweep.on_existing=rerun"))
    assert again.record.data["splits"]["train"] == first.record.data["splits"]["train"]
    assert again.record.data["splits"]["val200"] != first.record.data["splits"]["val200"]
