"""Own images in parquet files."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_tables import encoded, pets, table, write_plain
from PIL import Image

from hydra_peft.config.check import check_config, check_recorded
from hydra_peft.config.identity import config_id, science
from hydra_peft.config.plain import as_configured, as_plain, from_plain
from hydra_peft.config.schema import RunConfig
from hydra_peft.data.contact_sheet import contact_sheet
from hydra_peft.data.inspection import files_by_class, inspect
from hydra_peft.data.sources import load_task
from hydra_peft.data.sources.parquet import files_by_split
from hydra_peft.data.task_data import TaskData
from hydra_peft.errors import UserError
from hydra_peft.runs.assembly import check_images
from hydra_peft.runs.first_look import check_data, data_request

TURNS = [n % 2 for n in range(12)]


@pytest.fixture
def own(compose_train: Callable[..., Any], tmp_path: Path) -> Callable[..., RunConfig]:
    """Check a run on parquet files."""

    def check(place: Path | str, *words: str) -> RunConfig:
        paths = [f"paths.cache={tmp_path}/cache", f"paths.runs={tmp_path}/runs"]
        chosen = ["dataset=parquet", f"dataset.file='{place}'"]
        return check_config(compose_train(*chosen, *paths, *words))

    return check


def loaded(config: RunConfig) -> TaskData:
    dataset = config.dataset
    return load_task(dataset.source, data_request(dataset, config.paths, dataset.splits.names()))


def test_shards_as_the_hub_lays_them_out(own: Callable[..., RunConfig], tmp_path: Path) -> None:
    place = tmp_path / "my pets"
    (place / "data").mkdir(parents=True)
    for number, rows in enumerate((range(6), range(6, 10))):
        shard = pets(10).select(rows)
        shard.to_parquet(str(place / "data" / f"train-{number:05d}-of-00002-1f2e.parquet"))
    pets(4, seed=1).to_parquet(str(place / "data" / "validation-00000-of-00001.parquet"))
    pets(6, seed=2).to_parquet(str(place / "data" / "test-00000-of-00001.parquet"))
    (place / "README.md").write_text("license: mit")
    (place / ".cache").mkdir()
    (place / ".cache" / "train.parquet").write_text("x")
    config = own(place)
    assert (config.dataset.name, config.dataset.classes) == ("my_pets", 2)
    assert config.dataset.sizes == {"train": 10, "val": 4, "test": 6}
    check_data(config)
    check_images(config)
    data = loaded(config)
    assert (data.classes, data.lineage) == (("dog", "cat"), "parquet")
    train = data.splits["train"]
    assert train.targets.tolist() == TURNS[:10]
    images = encoded(10)
    assert [bytes(h.tolist()) for h in train.hashes()] == [
        hashlib.sha256(i).digest() for i in images
    ]
    pixels = train.inputs["image"].pixels(7)  # type: ignore[union-attr]
    assert np.array_equal(pixels, np.asarray(Image.open(io.BytesIO(images[7]))))

    found = inspect(data, config.dataset.splits)
    assert found.counts == {
        "dog": {"train": 5, "val": 2, "test": 3},
        "cat": {"train": 5, "val": 2, "test": 3},
    }
    assert (found.problems, found.notes, found.modes) == ([], [], {"RGB": 20})
    with Image.open(io.BytesIO(contact_sheet(files_by_class(data, "train"), each=2))) as sheet:
        assert sheet.height == 204


def test_what_is_missing_is_split_off_as_it_is_of_a_folder(
    own: Callable[..., RunConfig], compose_train: Callable[..., Any], tmp_path: Path
) -> None:
    images, names = encoded(20), ["dog ", "cat"]
    labels = [names[n % 2] for n in range(20)]
    file = write_plain(tmp_path / "pets.parquet", picture=images, kind=labels)
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        place = tmp_path / "pets" / label.strip()
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number:03d}.png").write_bytes(image)
    words = ("dataset.split=[0.5,0.2,0.3]", "dataset.split_seed=4", f"paths.cache={tmp_path}/cache")
    folder = check_config(compose_train("dataset=folder", f"dataset.root={tmp_path}/pets", *words))
    config = own(file, *words)
    assert config.dataset.name == "pets"
    assert config.dataset.sizes == folder.dataset.sizes == {"train": 10, "val": 4, "test": 6}
    assert science(config) == science(folder)
    here, there = loaded(config), loaded(folder)
    assert here.classes == there.classes == ("cat", "dog")
    for name, split in here.splits.items():
        pairs = [
            sorted(zip(map(tuple, one.hashes().tolist()), one.targets.tolist(), strict=True))
            for one in (split, there.splits[name])
        ]
        assert pairs[0] == pairs[1]
    assert config_id(own(file, *words, "dataset.shots=2")) != config_id(config)


def test_a_record_needs_no_second_look_and_new_content_is_seen(
    own: Callable[..., RunConfig], tmp_path: Path
) -> None:
    file = tmp_path / "data" / "pets.parquet"
    file.parent.mkdir()
    pets(20).to_parquet(str(file))
    config = own(file, "dataset.label_column=label")
    assert science(config)["dataset"]["label_column"] == "label"
    assert config_id(config) != config_id(own(file))
    before = loaded(config).describe()
    assert from_plain(json.loads(json.dumps(as_plain(config)))) == config
    moved = shutil.move(file, tmp_path / "pets.parquet")
    assert config_id(check_recorded(as_configured(config))) == config_id(config)
    again = own(moved, "dataset.label_column=label")
    assert config_id(again) == config_id(config)
    assert loaded(again).describe() == before
    pets(20, seed=3).to_parquet(str(moved))
    assert loaded(again).describe()["sha256"] != before["sha256"]


@pytest.mark.parametrize(
    ("names", "asked", "expected"),
    [
        (["a.parquet", "b.Parquet", "c.txt"], "", {"train": ["a", "b"]}),
        (["train/0.parquet", "Test/0.parquet"], "", {"Test": ["0"], "train": ["0"]}),
        (["x_valid.parquet", "x_train.parquet"], "", {"train": ["x_train"], "valid": ["x_valid"]}),
        (["latest.parquet", "contest.parquet"], "", {"train": ["contest", "latest"]}),
        (["extra-00000-of-00001.parquet"], "", {"extra": ["extra-00000-of-00001"]}),
        (
            ["test.parquet", "x/one.parquet", "x/two.parquet"],
            "x/*.parquet",
            {"train": ["one", "two"]},
        ),
        (
            ["a/train/0.parquet", "b/test/0.parquet"],
            "*/*/0.parquet",
            {"train": ["0"], "test": ["0"]},
        ),
        (["a.parquet", "b.parquet"], "b.parquet", {"train": ["b"]}),
    ],
)
def test_splits_are_in_the_names(
    tmp_path: Path, names: list[str], asked: str, expected: dict[str, list[str]]
) -> None:
    for name in names:
        (tmp_path / "test" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "test" / name).touch()
    found = files_by_split(str(tmp_path / "test" / asked).rstrip("/"))
    assert {name: [Path(file).stem for file in files] for name, files in found.items()} == expected


def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "train.parquet").touch()
    for name in ("up", "again"):
        (tmp_path / "a" / name).symlink_to(tmp_path)
    expected = {"train": [f"{tmp_path}/a/train.parquet"]}
    assert files_by_split(str(tmp_path)) == expected


def damaged(file: Path) -> None:
    pets(12).to_parquet(str(file))
    file.write_bytes(file.read_bytes()[:-100])


def no_image(file: Path) -> None:
    images = encoded(12)
    table([*images[:3], images[3][:50], *images[4:]], TURNS, ["dog", "cat"]).to_parquet(str(file))


def copies(file: Path) -> None:
    pets(12).to_parquet(str(file))
    pets(12).to_parquet(str(file.with_name("test.parquet")))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda _: None, r"dataset\.file=.* has no parquet file: it must be a file, a folder"),
        (damaged, r"cannot load .*pets: .*[Pp]arquet.*; write the files anew"),
        (lambda f: f.write_text("x"), r"cannot load .*pets: .*[Pp]arquet.*; write the files anew"),
        (no_image, r"cannot read the image .*pets, train, row 3: .*; fetch or prepare it"),
        (copies, "images of .* are in t.* too, so a score would not be of unseen images"),
        (lambda f: write_plain(f, name=["a", "b"], label=["x", "y"]), "has no column of images"),
        (
            lambda f: write_plain(f, image=encoded(4), label=[0.5, 1.5, 2.5, 3.5]),
            "has no column of labels, only image .binary values., label .double|float64",
        ),
        (
            lambda f: (
                pets(4).to_parquet(str(f.with_name("other.parquet"))) and pets(4).to_parquet(str(f))
            ),
            r"pets/other\.parquet does not say of which split it is, where other files are of tra",
        ),
        (
            lambda f: (
                pets(4).to_parquet(str(f))
                and write_plain(f.with_name("test.parquet"), image=encoded(4), label=[0, 1, 0, 1])
            ),
            "cannot load .*pets|is of another type",
        ),
    ],
)
def test_files_that_are_wrong_are_told_in_a_sentence(
    own: Callable[..., RunConfig], tmp_path: Path, make: Callable[[Path], object], said: str
) -> None:
    file = tmp_path / "pets" / "train.parquet"
    file.parent.mkdir()
    make(file)
    with pytest.raises(UserError, match=said) as told:
        check_images(own(file.parent, "dataset.split=[0.2,0,0.8]"))
    assert "\n" not in str(told.value)


def test_the_package_that_is_needed_is_named(
    own: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"package datasets, which cannot be .*'hydra-peft\[hf\]'"):
        own(tmp_path)
