"""Own images in a folder for each class."""

from __future__ import annotations

import json
import shutil
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from class_folders import write_classes, write_images
from PIL import Image

from hydra_peft.config.check import check_config, check_recorded
from hydra_peft.config.identity import config_id, science
from hydra_peft.config.plain import as_configured, as_plain, from_plain
from hydra_peft.config.resolved import Resolved
from hydra_peft.config.schema import RunConfig
from hydra_peft.data.sources import folder as source
from hydra_peft.data.sources import load_task
from hydra_peft.data.task_data import TaskData
from hydra_peft.errors import UserError
from hydra_peft.runs.assembly import check_images
from hydra_peft.runs.first_look import check_data, data_request, splits_read

Compose = Callable[..., Any]


@pytest.fixture
def own(compose_train: Compose, tmp_path: Path) -> Callable[..., RunConfig]:
    """Check a run on a folder."""

    def check(root: Path, *words: str) -> RunConfig:
        paths = [f"paths.cache={tmp_path}/cache", f"paths.runs={tmp_path}/runs"]
        return check_config(compose_train("dataset=folder", f"dataset.root={root}", *paths, *words))

    return check


def loaded(config: RunConfig) -> TaskData:
    request = data_request(config.dataset, config.paths, config.dataset.splits.names())
    return load_task("folder", request)


def test_classes_in_one_folder_are_split_by_their_content(
    own: Callable[..., RunConfig], tmp_path: Path
) -> None:
    root = write_classes(tmp_path / "my pets", {"dog": 20, "cat": 10})
    config = own(root)
    dataset = config.dataset
    assert (dataset.name, dataset.classes) == ("my_pets", 2)
    assert dataset.sizes == {"train": 24, "val": 3, "test": 3}
    assert vars(dataset.splits) == {
        "train": "train", "fit": "train", "val": "val", "test": "test", "further": [],
    }  # fmt: skip
    check_data(config)
    check_images(config)
    data = loaded(config)
    assert (data.classes, data.lineage) == (("cat", "dog"), "folder")
    assert Counter(data.splits["test"].targets.tolist()) == {0: 1, 1: 2}
    assert data.describe()["classes"] == ["cat", "dog"]

    # Where the images lie and what they are called decides nothing.
    moved = shutil.copytree(root, tmp_path / "elsewhere" / "my pets")
    for file in sorted((moved / "dog").iterdir()):
        file.rename(file.with_name(f"x{file.name}"))
    again = own(moved)
    assert config_id(again) == config_id(config)
    assert loaded(again).describe() == data.describe()

    other = own(root, "dataset.split_seed=1")
    assert config_id(other) != config_id(config)
    assert loaded(other).describe()["splits"] != data.describe()["splits"]
    assert own(root, "dataset.split=[0.5,0,0.5]").dataset.sizes == {"train": 15, "test": 15}


def test_given_splits_are_taken_and_what_is_missing_is_split_off(
    own: Callable[..., RunConfig], tmp_path: Path
) -> None:
    root = tmp_path / "birds"
    write_classes(root / "train", {"crow": 10, "wren": 10})
    write_classes(root / "Test", {"crow": 4, "wren": 5}, seed=1)
    config = own(root, "dataset.split=[0.6,0.2,0.2]")
    assert config.dataset.sizes == {"train": 16, "val": 4, "test": 9}
    assert science(config)["dataset"]["split"] == [0.6, 0.2, 0.2]
    files = {file.name for file in (root / "Test" / "crow").iterdir()}
    images = loaded(config).splits["test"].inputs["image"]
    assert {f.name for f in images.files if f.parent.name == "crow"} == files  # type: ignore[union-attr]

    write_classes(root / "valid", {"crow": 3, "wren": 2}, seed=2)
    whole = own(root, "dataset.split_seed=3")
    assert whole.dataset.sizes == {"train": 20, "val": 5, "test": 9}
    assert not {"split", "split_seed"} & science(whole)["dataset"].keys()
    assert config_id(whole) == config_id(own(root, "dataset.split=[0.5,0.3,0.2]"))
    assert loaded(whole).describe()["counts"] == whole.dataset.sizes


def test_a_class_may_be_called_train(own: Callable[..., RunConfig], tmp_path: Path) -> None:
    root = write_classes(tmp_path / "vehicles", {"bus": 5, "train": 5})
    assert loaded(own(root)).classes == ("bus", "train")


def test_a_name_of_ones_own_and_values_that_are_given_stay(
    own: Callable[..., RunConfig], tmp_path: Path
) -> None:
    root = write_classes(tmp_path / "pets", {"dog": 20, "cat": 10})
    assert own(root, "dataset.name=mine").dataset.name == "mine"
    config = own(root, "dataset.sizes={train:25,val:3,test:2}")
    with pytest.raises(UserError, match="has 24 images in train where its yaml says 25"):
        check_data(config)


def test_what_a_record_keeps_needs_no_second_look(
    compose_train: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_classes(tmp_path / "pets", {"dog": 20, "cat": 10})
    monkeypatch.chdir(tmp_path)
    words = ["dataset=folder", "dataset.root=pets", "dataset.split=[0.5,0.3,0.2]"]
    config = check_config(compose_train(*words))
    assert from_plain(json.loads(json.dumps(as_plain(config)))) == config
    values = as_configured(config)
    assert values["dataset"]["root"] == str(root)
    shutil.rmtree(root)
    assert config_id(check_recorded(values)) == config_id(config)


def test_a_sweep_reads_the_folder_once(
    compose_train: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, calls = write_classes(tmp_path / "pets", {"dog": 4, "cat": 4}), []
    described = source.describe
    monkeypatch.setattr(source, "describe", lambda o: calls.append(o) or described(o))
    resolved = Resolved()
    for words in (["seed=0"], ["seed=1"], ["method=lora"]):
        check_config(compose_train("dataset=folder", f"dataset.root={root}", *words), resolved)
    assert len(calls) == 1


def test_hidden_files_and_upper_case_are_no_trouble(
    own: Callable[..., RunConfig], tmp_path: Path
) -> None:
    root = write_classes(tmp_path / "pets", {"dog": 4, "cat": 4})
    (root / "dog" / "001.png").rename(root / "dog" / "001.PNG")
    write_images(root / "cat", 1, seed=9, suffix=".JPeG")
    for name in (".DS_Store", "cat/.hidden.png", "cat/Thumbs.db", "labels.txt"):
        (root / name).write_text("x")
    (root / ".git").mkdir()
    (root / "__MACOSX").mkdir()
    assert sum(own(root).dataset.sizes.values()) == 9


def no_folder(root: Path) -> None:
    shutil.rmtree(root)


def images_alone(root: Path) -> None:
    shutil.rmtree(root)
    write_images(root, 2)


def no_image(root: Path) -> None:
    (root / "cat" / "notes.txt").write_text("nice cats")


def hidden_alone(root: Path) -> None:
    (root / "emu").mkdir()
    (root / "emu" / ".DS_Store").write_text("x")


def only_a_test_set(root: Path) -> None:
    shutil.rmtree(root)
    write_classes(root / "test", {"dog": 2, "cat": 2})


def class_of_test_alone(root: Path) -> None:
    shutil.rmtree(root)
    write_classes(root / "train", {"dog": 2, "cat": 2})
    write_classes(root / "test", {"dog": 2, "cats": 2})


def stray_class(root: Path) -> None:
    write_classes(root / "train", {"dog": 2, "cat": 2})


def alike(root: Path) -> None:
    for form in ("NFC", "NFD"):  # as Linux and macOS write it
        write_classes(root, {unicodedata.normalize(form, "café"): 4})


def two_of_one_split(root: Path) -> None:
    shutil.rmtree(root)
    for name in ("train", "val", "valid"):
        write_classes(root / name, {"dog": 2, "cat": 2})


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (no_folder, r"root=.*pets is no folder.*, of an earlier run where they were then \(a link"),
        (images_alone, "pets has no folder of a class but images, such as 000.png"),
        (lambda root: (root / "emu").mkdir(), "pets/emu is empty: put images"),
        (hidden_alone, "pets/emu is empty: put images"),
        (lambda root: (root / "cat" / "big").mkdir(), "cat/big is a folder within the folder of"),
        (no_image, r"cat/notes\.txt is no image by its name"),
        (lambda root: write_images(root, 1), r"pets/000\.png lies beside the folders"),
        (lambda root: shutil.rmtree(root / "dog"), "one class only, 'cat'"),
        (only_a_test_set, "pets has test and no train"),
        (class_of_test_alone, "class 'cats' is in test and not in train.*did you mean 'cat'"),
        (stray_class, "pets has 'cat' beside train"),
        (alike, r"two classes whose names are the same text in two forms .*: make one"),
        (two_of_one_split, "pets has val and valid, which are the same split"),
    ],
)
def test_a_folder_of_another_kind_is_told_in_a_sentence(
    own: Callable[..., RunConfig],
    tmp_path: Path,
    spoil: Callable[[Path], object],
    said: str,
) -> None:
    root = write_classes(tmp_path / "pets", {"dog": 4, "cat": 4})
    spoil(root)
    with pytest.raises(UserError, match=said) as told:
        own(root)
    assert "\n" not in str(told.value)


def test_a_file_that_is_no_image_is_named_before_training(
    own: Callable[..., RunConfig], tmp_path: Path
) -> None:
    root = tmp_path / "pets"
    for split in ("train", "test"):
        write_classes(root / split, {"dog": 4, "cat": 4}, seed=len(split))
    (root / "test" / "cat" / "000.png").write_text("not at all")
    config = own(root)
    with pytest.raises(UserError, match=r"cannot read the image .*test/cat/000\.png"):
        check_images(config)


def test_data_that_has_changed_is_told(own: Callable[..., RunConfig], tmp_path: Path) -> None:
    root = write_classes(tmp_path / "pets", {"dog": 20, "cat": 10})
    config = own(root)
    for file in sorted((root / "cat").iterdir())[2:]:
        file.unlink()
    with pytest.raises(UserError, match="has 17 images in train where"):
        check_data(config)
    shutil.rmtree(root / "cat")
    with pytest.raises(UserError, match="one class only"):
        check_data(config)


@pytest.mark.parametrize("words", [["dataset.split=[0.8,0.3,0.1]"], ["dataset.split=[1,0,0]"]])
def test_shares_without_a_test_set_are_refused(
    own: Callable[..., RunConfig], tmp_path: Path, words: list[str]
) -> None:
    root = write_classes(tmp_path / "pets", {"dog": 20, "cat": 10})
    with pytest.raises(UserError, match=r"dataset\.split="):
        own(root, *words)


def test_too_few_images_for_a_share_are_no_fault_of_the_shares(
    own: Callable[..., RunConfig], tmp_path: Path
) -> None:
    root = write_classes(tmp_path / "pets", {"dog": 1, "cat": 1})
    with pytest.raises(UserError, match="leaves none over: put more images of each class there"):
        own(root)


def test_the_root_is_asked_for(compose_train: Compose) -> None:
    with pytest.raises(UserError, match=r"dataset\.root has no value: it must be set here"):
        check_config(compose_train("dataset=folder"))


def test_splits_of_equal_images_are_refused(own: Callable[..., RunConfig], tmp_path: Path) -> None:
    root = tmp_path / "pets"
    for split in ("train", "test"):
        write_classes(root / split, {"dog": 4, "cat": 4})
    with pytest.raises(UserError, match="6 of 6 images of train are in test too"):
        check_images(own(root))


def test_drawn_training_images(own: Callable[..., RunConfig], tmp_path: Path) -> None:
    from hydra_peft.runs.assembly import load_data

    root = write_classes(tmp_path / "pets", {"dog": 40, "cat": 20})

    def counts(*words: str) -> tuple[dict[int, int], str]:
        config = own(root, *words)
        request = data_request(config.dataset, config.paths, ("train", "test"))
        data = load_data(config.dataset, config.data, request, (8, 8), wanted=("train", "test"))
        assert data.description["counts"]["test"] == 6  # type: ignore[index]
        return Counter(data.splits["train"].targets.tolist()), config_id(config)

    some, its_id = counts("dataset.train_size=12")
    assert some == {0: 4, 1: 8}
    shots, other_id = counts("dataset.shots=3")
    assert shots == {0: 3, 1: 3}
    assert len({its_id, other_id, counts()[1]}) == 3
    assert own(root, "dataset.shots=3").settings["dataset.shots"] == 3
    assert "dataset.shots" not in own(root).settings
    for words, said in (
        (["dataset.shots=17"], "17 is more than the 16 training examples of class 0"),
        (["dataset.shots=25"], r"shots=25 is more than dataset pets has: 48 training examples"),
        (["dataset.train_size=49"], "train_size=49 is more than"),
        (["dataset.train_size=1"], "less than an example for each of the 2 classes"),
        (["dataset.train_size=9", "dataset.shots=2"], "both set"),
    ):
        with pytest.raises(UserError, match=said):
            counts(*words)


def test_few_shots_hold_out_their_own(own: Callable[..., RunConfig], tmp_path: Path) -> None:
    from hydra_peft.runs.assembly import load_data

    root = write_classes(tmp_path / "pets", {"dog": 40, "cat": 20})
    config = own(root, "dataset.shots=5", "dataset.sampling_seed=1", "protocol.tune=true")
    request = data_request(config.dataset, config.paths, splits_read(config))
    data = load_data(config.dataset, config.data, request, (8, 8), wanted=request.splits)
    counts = {name: Counter(split.targets.tolist()) for name, split in data.splits.items()}
    # Not the six that dataset.split would hold out.
    assert counts["train"] == {0: 5, 1: 5}
    assert counts["fit_shots"] == {0: 4, 1: 4}
    assert counts["val_shots"] == {0: 1, 1: 1}
    assert len(data.splits["test"]) == 6


def test_unreadable_contents_of_a_folder_do_not_matter_to_gray_and_palette_images(
    own: Callable[..., RunConfig], tmp_path: Path
) -> None:
    root = write_classes(tmp_path / "pets", {"dog": 4, "cat": 4})
    for number, mode in enumerate(("L", "P", "RGBA", "1")):
        file = root / "dog" / f"{number:03d}.png"
        Image.open(file).convert(mode).save(file)
    check_images(own(root))
