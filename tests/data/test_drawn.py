"""Drawing of training data that consists of two parts: what is trained on, what is held out."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest
from prepared_root import write_task

from hydra_peft.data.drawn import Drawing, load_drawn
from hydra_peft.data.sources import DataRequest, load_task
from hydra_peft.data.split import Split
from hydra_peft.data.split_roles import BEFORE
from hydra_peft.data.task_data import TaskData
from hydra_peft.errors import UserError

ALL = BEFORE.names()
#: sizes of the prepared task: of fit, val and test, and the number of its classes
FIT, VAL, TEST, CLASSES = 40, 12, 8, 4


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a prepared task, and of what the generated one is kept in."""
    root = tmp_path_factory.mktemp("data")
    write_task(root / "svhn", classes=CLASSES, train800=FIT, val200=VAL, test=TEST)
    return root


@pytest.fixture(params=["mini", "image_lists"])
def source(request: pytest.FixtureRequest) -> str:
    """A source whose train is fit and val."""
    return str(request.param)


def request(source: str, root: Path, splits: tuple[str, ...] = ALL) -> DataRequest:
    mini = source == "mini"
    return DataRequest(
        benchmark="mini" if mini else "vtab1k",
        name="digits" if mini else "svhn",
        folder=None if mini else "svhn",
        aliases=(),
        classes=10 if mini else CLASSES,
        root=root,
        cache=root / "cache",
        splits=splits,
    )


def pairs(split: Split) -> Counter[tuple[bytes, int]]:
    """Return how often each image is there with each label."""
    hashes = [bytes(row.tolist()) for row in split.hashes()]
    return Counter(zip(hashes, split.targets.tolist(), strict=True))


def by_class(split: Split) -> Counter[int]:
    return Counter(split.targets.tolist())


def drawn(source: str, root: Path, drawing: Drawing, splits: tuple[str, ...] = ALL) -> TaskData:
    return load_drawn(source, request(source, root, splits), BEFORE, drawing)


@pytest.mark.parametrize("drawing", [Drawing(train_size=24), Drawing(shots=2)])
def test_both_parts_shrink_with_the_whole(source: str, root: Path, drawing: Drawing) -> None:
    before = load_task(source, request(source, root)).splits
    data = drawn(source, root, drawing)
    after = data.splits
    train = by_class(after["train"])
    if drawing.shots:
        assert set(train.values()) == {2}
    else:
        assert sum(train.values()) == 24
        share = 24 / len(before["train"])
        for label, count in by_class(before["train"]).items():
            assert abs(train[label] - share * count) <= 1
    assert len(train) == len(by_class(before["train"]))
    # The parts are those of the whole: nothing is lost, nothing is in both of them.
    assert pairs(after["train800"]) + pairs(after["val200"]) == pairs(after["train"])
    for part in ("train", "train800", "val200"):
        assert 0 < len(after[part]) < len(before[part])
        assert pairs(after[part]) <= pairs(before[part])
    assert after["test"].sha256() == before["test"].sha256()
    # Checks compare what the source has with the yaml, not what is left of it.
    seen = data.seen_labels().splits
    assert {name: seen[name].count for name in seen} == {n: len(before[n]) for n in ALL}


def test_fewer_are_among_more_and_another_seed_draws_others(source: str, root: Path) -> None:
    some = drawn(source, root, Drawing(shots=2)).splits
    more = drawn(source, root, Drawing(shots=4)).splits
    others = drawn(source, root, Drawing(shots=2, seed=1)).splits
    for part in ("train", "train800", "val200"):
        assert pairs(some[part]) <= pairs(more[part])
    assert pairs(some["train"]) != pairs(others["train"])
    assert by_class(some["train"]) == by_class(others["train"])


def test_a_part_alone_is_the_one_that_is_drawn_with_the_rest(source: str, root: Path) -> None:
    whole = drawn(source, root, Drawing(train_size=24))
    for names in (("train800",), ("val200", "test")):
        alone = drawn(source, root, Drawing(train_size=24), names)
        assert tuple(alone.splits) == names
        for name in names:
            assert alone.splits[name].sha256() == whole.splits[name].sha256()


def test_nothing_held_out_is_told(source: str, root: Path) -> None:
    def smallest() -> None:
        for seed in range(20):  # sooner or later all of them are of the other part
            drawn(source, root, Drawing(train_size=CLASSES, seed=seed))

    with pytest.raises(UserError, match=r"nothing of val200 in it: raise dataset\.train_size"):
        smallest()


def test_an_image_of_two_labels_keeps_the_drawn_one(tmp_path: Path) -> None:
    """Public data has such images: one label in fit, another one in val."""
    folder = tmp_path / "svhn"
    write_task(folder, classes=3, train800=6, val200=6, test=4)
    images = folder / "images"
    for number in range(6):  # labels count up in each part: a copy has another than its original
        original = images / f"train800/{(number + 1) % 6:06d}.jpg"
        for copy in (f"val200/{number:06d}.jpg", f"train800val200/{number + 6:06d}.jpg"):
            shutil.copy(original, images / copy)
    for seed in range(8):
        splits = drawn("image_lists", tmp_path, Drawing(shots=1, seed=seed), ("train",)).splits
        try:
            parts = drawn("image_lists", tmp_path, Drawing(shots=1, seed=seed)).splits
        except UserError:
            continue  # all are of one part
        assert pairs(parts["train800"]) + pairs(parts["val200"]) == pairs(splits["train"])
