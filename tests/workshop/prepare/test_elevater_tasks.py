"""ELEVATER's tasks from their originals: splits, labels by the benchmark's names, refusals."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from fabricated_elevater import SHOWN, keys, write_originals

from hydra_peft.checkout import option
from hydra_peft.config.benchmarks import find_benchmark
from hydra_peft.data.checking import check_prepared
from hydra_peft.data.drawn import Drawing, load_drawn
from hydra_peft.data.manifests import read_manifest
from hydra_peft.data.sources import DataRequest, labels_of, load_task
from hydra_peft.data.split_roles import SplitRoles
from hydra_peft.data.task_data import TaskData
from hydra_peft.errors import UserError
from hydra_peft.workshop.prepare.originals import originals
from hydra_peft.workshop.prepare.originals._prepare import prepare
from hydra_peft.workshop.prepare.spec import TaskSpec

TASKS = list(find_benchmark("elevater").tasks)
MADE_BY = {task: original for original in originals() for task in original.elevater}
ROLES = SplitRoles("train", "test")


def spec(task: str) -> TaskSpec:
    yaml = option("dataset", f"elevater/{task}")
    return TaskSpec("elevater", task, task, (), yaml["classes"], yaml["sizes"], keys(task))


def make(task: str, source: Path, out: Path, *, partial: bool = True) -> list[str]:
    """Prepare a task; return what is said of it."""
    said: list[str] = []
    prepare(MADE_BY[task], source, out, spec(task), partial=partial, say=lambda s: said.append(s))
    return said


def request(task: str, root: Path, splits: tuple[str, ...] = ("train", "test")) -> DataRequest:
    classes = option("dataset", f"elevater/{task}")["classes"]
    return DataRequest("elevater", task, task, (), classes, root, root / "cache", splits)


def loaded(task: str, root: Path) -> TaskData:
    return load_task(option("dataset", f"elevater/{task}")["source"], request(task, root))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All twenty originals."""
    root = tmp_path_factory.mktemp("originals")
    write_originals(root)
    return root


@pytest.fixture(scope="module")
def root(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All twenty tasks, prepared."""
    out = tmp_path_factory.mktemp("prepared")
    for task in TASKS:
        make(task, source / task, out)
    return out


#: images of the fabricated originals in train and test
COUNTS = {
    "cifar10": (50, 10),
    "dtd": (47, 47),
    "eurosat": (20, 20),
    "fer2013": (14, 7),
    "hateful_memes": (8, 6),
    "kitti_distance": (32, 4),
    "mnist": (20, 10),
    "patch_camelyon": (4, 4),
    "rendered_sst2": (6, 6),
    "resisc45": (45, 360),
    "voc2007": (len(SHOWN), len(SHOWN)),
}


def test_every_task_is_made_of_an_original_and_promises_table_14(root: Path) -> None:
    assert set(MADE_BY) == set(TASKS)
    for task in TASKS:
        yaml = option("dataset", f"elevater/{task}")
        assert yaml["classes"] == len(keys(task))
        counts = {
            n: s.count for n, s in labels_of(yaml["source"], request(task, root)).splits.items()
        }
        expected = COUNTS.get(task, (yaml["classes"], yaml["classes"]))
        assert (task, counts["train"], counts["test"]) == (task, *expected)


@pytest.mark.parametrize("task", TASKS)
def test_a_prepared_task_passes_the_check(task: str, root: Path) -> None:
    yaml = option("dataset", f"elevater/{task}")
    report = check_prepared(
        request(task, root),
        yaml["sizes"],
        ROLES,
        decode=True,
        allow_partial=True,
        several=yaml.get("kind") == "multilabel",
    )
    assert report.status == "ok", report.problems
    assert report.lineage == "originals"
    assert set(report.splits["test"].labels) == set(range(yaml["classes"]))
    assert any("order of its own" in note for note in report.notes)
    manifest = read_manifest(root / task / "manifest.json")
    assert tuple(manifest.classes) == keys(task)


def test_each_task_is_sampled(root: Path) -> None:
    roles = SplitRoles("train", "test", fit="fit_shots", val="val_shots")
    for task in TASKS:
        yaml = option("dataset", f"elevater/{task}")
        data = load_drawn(
            yaml["source"], request(task, root), roles, Drawing(shots=1, sampling_seed=0)
        )
        labels = data.splits["train"].targets
        each = labels.sum(dim=0) if labels.dim() > 1 else labels.bincount()
        assert each.min() >= 1
        assert task == "voc2007" or each.tolist() == [1] * yaml["classes"]
        assert len(data.classes) == yaml["classes"]


@pytest.mark.parametrize(
    ("task", "name", "word"),
    [  # the folder or name in the original of one class, and what the benchmark calls it
        ("caltech101", "BACKGROUND_Google", "background"),
        ("country211", "NO", "Norway"),
        ("dtd", "zigzagged", "zigzagged"),
        ("food101", "cheesecake", "cheesecake"),
        ("rendered_sst2", "positive", "positive"),
    ],
)
def test_a_label_is_the_benchmarks_place_of_the_name(
    task: str, name: str, word: str, root: Path
) -> None:
    data = loaded(task, root)
    label = data.classes.index(word)
    ids = read_ids(root / task, "train")
    images = [row for row, key in enumerate(ids) if str(key).split("/")[0] == name]
    assert images
    assert {data.splits["train"].targets[row].item() for row in images} == {label}


def read_ids(folder: Path, split: str) -> list[str]:
    import json

    return json.loads((folder / "manifest.json").read_text())["splits"][split]["ids"]


def test_fer2013_counts_neutral_before_sad(root: Path) -> None:
    data = loaded("fer2013", root)
    # The table counts Angry, Disgust, Fear, Happy, Sad, Surprise, Neutral.
    assert data.splits["test"].targets.tolist() == [0, 1, 2, 3, 5, 6, 4]
    assert data.classes[4] == "neutral"


def test_voc_has_every_class_that_is_shown(root: Path) -> None:
    data = loaded("voc2007", root)
    shown = [row.nonzero().flatten().tolist() for row in data.splits["train"].targets]
    assert shown == SHOWN  # a difficult one counts as not shown


def test_splits_of_one_pool_are_apart_and_alike_in_each_class(root: Path) -> None:
    for task, train, test in (("eurosat", 2, 2), ("resisc45", 1, 8)):
        data = loaded(task, root)
        for split, count in (("train", train), ("test", test)):
            labels = data.splits[split].targets.tolist()
            assert {labels.count(label) for label in range(len(keys(task)))} == {count}
        assert not set(read_ids(root / task, "train")) & set(read_ids(root / task, "test"))
        assert any("drawn by CLIP's authors" in note for note in data.notes)


@pytest.mark.parametrize(
    ("task", "spoil", "sentence"),
    [
        ("fer2013", "no usage", r"fer2013\.csv has no column Usage, it has emotion, pixels"),
        ("fer2013", "emotion", r"line 2: emotion is '9', not one of 0 to 6"),
        ("dtd", "image", r"lacks zigzagged/zigzagged_train\.jpg, listed in"),
        ("eurosat", "class", r"EuroSAT: \d+ images where 27,000 were published"),
        ("oxford_pets", "breed", r"of the 37 classes of Oxford-IIIT Pets .* lacks 'Abyssinian'"),
        ("country211", "folder", r"'Norway' is none of the 211 classes"),
        ("hateful_memes", "label", r"line 1: img should be a file below img/ and label 0 or 1"),
        ("hateful_memes", "image", r"is not a whole image"),
        ("voc2007", "list", r"bicycle_train\.txt lists other images than those of aeroplane"),
        ("stanford_cars", "class", r"annotation 1 has the class 500, not one of 1 to 196"),
    ],
)
def test_a_spoilt_original_is_one_sentence(
    task: str, spoil: str, sentence: str, source: Path, tmp_path: Path
) -> None:
    folder = tmp_path / task
    shutil.copytree(source / task, folder)
    SPOIL[task, spoil](folder)
    with pytest.raises(UserError, match=sentence):
        make(task, folder, tmp_path / "out", partial=spoil != "class" or task == "stanford_cars")
    assert not (tmp_path / "out" / task).exists()


def replaced(file: str, *pairs: tuple[str, str]):  # type: ignore[no-untyped-def]
    def act(folder: Path) -> None:
        content = (folder / file).read_text()
        for old, new in pairs:
            assert old in content
            content = content.replace(old, new, 1)
        (folder / file).write_text(content)

    return act


def _without_usage(folder: Path) -> None:
    lines = (folder / "fer2013.csv").read_text().splitlines()
    kept = [line.rsplit(",", 1)[0] for line in lines]
    (folder / "fer2013.csv").write_text("".join(f"{line}\n" for line in kept))


def _other_class(folder: Path) -> None:
    import numpy as np
    import scipy.io

    rows = np.zeros(1, dtype=[("class", "O"), ("fname", "O")])
    rows[0] = (500, "00001.jpg")
    scipy.io.savemat(folder / "devkit" / "cars_train_annos.mat", {"annotations": rows})


def _renamed_breed(folder: Path) -> None:
    for name in ("trainval", "test"):
        file = folder / "annotations" / f"{name}.txt"
        file.write_text(file.read_text().replace("Abyssinian", "unknown"))
    for number in (1, 2):
        (folder / f"images/Abyssinian_{number}.jpg").rename(folder / f"images/unknown_{number}.jpg")


SPOIL = {
    ("fer2013", "no usage"): _without_usage,
    ("fer2013", "emotion"): replaced("fer2013.csv", ("\n0,", "\n9,")),
    ("dtd", "image"): lambda f: (f / "dtd/images/zigzagged/zigzagged_train.jpg").unlink(),
    ("eurosat", "class"): lambda f: shutil.rmtree(f / "2750" / "Forest"),
    ("oxford_pets", "breed"): _renamed_breed,
    ("country211", "folder"): lambda f: (f / "country211/train/NO").rename(
        f / "country211/train/Norway"
    ),
    ("hateful_memes", "label"): replaced("train.jsonl", ('"label": 0', '"label": 2')),
    ("hateful_memes", "image"): lambda f: (f / "img/00003.png").write_bytes(b"<html>"),
    ("voc2007", "list"): replaced(
        "VOCdevkit/VOC2007/ImageSets/Main/bicycle_train.txt", ("000000 ", "000099 ")
    ),
    ("stanford_cars", "class"): _other_class,
}


def test_labels_in_another_order_are_told_before_anything_is_loaded(
    root: Path, tmp_path: Path
) -> None:
    shutil.copytree(root / "kitti_distance", tmp_path / "kitti_distance")
    manifest = tmp_path / "kitti_distance" / "manifest.json"
    sorted_names = '"above_20", "below_20", "below_8", "no_vehicle"'
    text = manifest.read_text()
    start = text.index('"classes"')
    end = text.index("]", start)
    manifest.write_text(f'{text[:start]}"classes": [{sorted_names}{text[end:]}')
    with pytest.raises(
        UserError,
        match=r"kitti_distance: label 0 is 'above_20' .* where the benchmark has 'below_8' "
        r"\(its labels are sorted by name\): prepare it again",
    ):
        labels_of("image_lists", request("kitti_distance", tmp_path))


def test_an_incomplete_original_needs_to_be_allowed(source: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"8 images in train\.jsonl where 8,500 were published"):
        make("hateful_memes", source / "hateful_memes", tmp_path, partial=False)
