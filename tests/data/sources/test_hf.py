"""Images of the Hugging Face hub, and of folders that its package loads."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
from class_folders import write_classes
from datasets import DatasetDict
from image_tables import pets

from hydra_peft.config.check import check_config, check_recorded
from hydra_peft.config.identity import config_id
from hydra_peft.config.plain import as_configured, as_plain, from_plain
from hydra_peft.config.schema import RunConfig
from hydra_peft.data.images import FileImages
from hydra_peft.data.sources import load_task
from hydra_peft.data.task_data import TaskData
from hydra_peft.errors import UserError
from hydra_peft.runs.assembly import check_images
from hydra_peft.runs.first_look import check_data, data_request

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def own(compose_train: Callable[..., Any], tmp_path: Path) -> Callable[..., RunConfig]:
    """Check a run on what ``datasets`` loads by a name."""

    def check(name: Path | str, *words: str) -> RunConfig:
        chosen = ["dataset=hf", f"dataset.name='{name}'", f"paths.cache={tmp_path}/cache"]
        return check_config(compose_train(*chosen, *words))

    return check


def loaded(config: RunConfig) -> TaskData:
    dataset = config.dataset
    return load_task(dataset.source, data_request(dataset, config.paths, dataset.splits.names()))


def test_saved_sets_and_repositories_have_the_same_images(
    own: Callable[..., RunConfig], tmp_path: Path
) -> None:
    both = DatasetDict(train=pets(20), test=pets(6, seed=1))
    both.save_to_disk(str(tmp_path / "saved pets"))
    for name, split in both.items():
        folder = tmp_path / "repository" / "data"
        folder.mkdir(parents=True, exist_ok=True)
        split.to_parquet(str(folder / f"{name}-00000-of-00001.parquet"))
    saved, other = own(tmp_path / "saved pets"), own(tmp_path / "repository")
    assert (saved.dataset.name, other.dataset.name) == ("saved_pets", "repository")
    assert saved.dataset.sizes == other.dataset.sizes == {"train": 18, "val": 2, "test": 6}
    check_data(saved)
    check_images(saved)
    data = loaded(saved)
    assert (data.classes, data.lineage) == (("dog", "cat"), "hf")
    assert data.describe() == loaded(other).describe()

    # The record keeps what it takes to load it again.
    assert from_plain(json.loads(json.dumps(as_plain(saved)))) == saved
    named = own(
        tmp_path / "saved pets", "dataset.name=mine", f"dataset.path='{tmp_path}/saved pets'"
    )
    assert (named.dataset.name, named.dataset.sizes) == ("mine", saved.dataset.sizes)
    values = as_configured(saved)
    assert values["dataset"]["path"] == str(tmp_path / "saved pets")
    again = check_recorded(values)
    assert loaded(again).describe() == data.describe()
    shutil.rmtree(tmp_path / "saved pets")
    assert config_id(check_recorded(values)) == config_id(saved)
    with pytest.raises(UserError, match=r"saved pets is no folder, and no name of a data set"):
        loaded(again)


def test_one_saved_table_is_split(own: Callable[..., RunConfig], tmp_path: Path) -> None:
    pets(20).save_to_disk(str(tmp_path / "pets"))
    assert own(tmp_path / "pets").dataset.sizes == {"train": 16, "val": 2, "test": 2}


def test_images_in_folders_are_read_where_they_are(
    own: Callable[..., RunConfig], compose_train: Callable[..., Any], tmp_path: Path
) -> None:
    for seed, split in enumerate(("train", "test")):
        write_classes(tmp_path / "pets" / split, {"cat": 5, "dog": 5}, seed=seed)
    config = own(tmp_path / "pets")
    check_images(config)
    data = loaded(config)
    images = data.splits["test"].inputs["image"]
    assert isinstance(images, FileImages)
    assert {file.parent for file in images.files} == {
        tmp_path / "pets" / "test" / name for name in ("cat", "dog")
    }
    root = f"dataset.root={tmp_path}/pets"
    folder = check_config(compose_train("dataset=folder", root, f"paths.cache={tmp_path}/cache"))
    theirs = loaded(folder).describe()
    assert data.describe() == {**theirs, "lineage": "hf"}


def keep(name: str, commit: str, folder: Path) -> None:
    """Put what ``datasets`` makes of ``folder`` where it keeps what it loaded from the hub."""
    made = datasets.load_dataset(str(folder), cache_dir=str(folder.with_name("made")))
    (place,) = {Path(one["filename"]).parent for one in made["train"].cache_files}
    kept = Path(datasets.config.HF_DATASETS_CACHE, name.replace("/", "___"), "default", "0.0.0")
    kept.mkdir(parents=True, exist_ok=True)
    shutil.copytree(place, kept / commit)


def test_what_was_loaded_before_is_used_without_a_network(
    own: Callable[..., RunConfig], tmp_path: Path
) -> None:
    """Tests run with HF_HUB_OFFLINE=1."""
    name = f"user/{tmp_path.name.replace('-', '_')}"
    pets(20).to_parquet(str(tmp_path / "train.parquet"))
    folder = tmp_path / name.split("/")[1]
    folder.mkdir()
    (tmp_path / "train.parquet").rename(folder / "train.parquet")
    keep(name, COMMIT, folder)
    config = own(name)
    assert config.dataset.name == name.split("/")[1]
    assert config.dataset.sizes == {"train": 16, "val": 2, "test": 2}
    options = config.dataset.source_options
    assert (options.path, options.revision) == (name, COMMIT)
    assert config_id(own(name, f"dataset.revision={COMMIT}")) == config_id(config)
    assert loaded(check_recorded(as_configured(config))).describe()["lineage"] == "hf"
    with pytest.raises(
        UserError, match=rf"out of reach, and what is kept .* is of commit {COMMIT}"
    ):
        own(name, "dataset.revision=v2")


def no_tables(folder: Path) -> None:
    (folder / "train.txt").write_text("a\nb\n")


def half_saved(folder: Path) -> None:
    pets(6).save_to_disk(str(folder))
    (file,) = folder.glob("*.arrow")
    file.write_bytes(file.read_bytes()[:200])


def in_a_circle(folder: Path) -> None:
    (folder / "train").mkdir()
    (folder / "train" / "back").symlink_to(folder, target_is_directory=True)


def with_code(folder: Path) -> None:
    (folder / f"{folder.name}.py").write_text("raise SystemExit('it ran')")


@pytest.mark.parametrize(
    ("make", "words", "said"),
    [
        (lambda _: None, [], "cannot load .*pets: .*; save_to_disk of datasets writes"),
        (
            no_tables,
            [],
            r"pets has files of the kind text: images and labels are read from parquet",
        ),
        (half_saved, [], "cannot load .*pets: .*; save_to_disk of datasets writes"),
        (with_code, [], "cannot load .*pets: Dataset scripts are no longer supported"),
        (in_a_circle, [], r"dataset\.name: .*train/back is a folder that lies at another place of"),
        (
            lambda f: pets(6).save_to_disk(str(f)),
            ["dataset.revision=v1"],
            r"dataset\.revision=v1 is of a data set on the hub, and .*pets is a folder",
        ),
    ],
)
def test_folders_that_are_wrong_are_told_in_a_sentence(
    own: Callable[..., RunConfig],
    tmp_path: Path,
    make: Callable[[Path], object],
    words: list[str],
    said: str,
) -> None:
    (tmp_path / "pets").mkdir()
    make(tmp_path / "pets")
    with pytest.raises(UserError, match=said) as told:
        own(tmp_path / "pets", *words)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "user/no_such_set",
            "cannot load user/no_such_set from .*; HF_HUB_OFFLINE is set, so only",
        ),
        ("/no/such/folder", "dataset.name=/no/such/folder is no folder, and no name"),
        ("https://huggingface.co/x", "dataset.name=https.* is not allowed: it must be the name"),
    ],
)
def test_names_that_lead_nowhere_are_told_in_a_sentence(
    own: Callable[..., RunConfig], name: str, said: str
) -> None:
    with pytest.raises(UserError, match=said) as told:
        own(name)
    assert "\n" not in str(told.value)
