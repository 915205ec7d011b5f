"""Few-shot samples against ELEVATER's rules stated plainly, and what a task's splits are then."""

from __future__ import annotations

import math
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from prepared_root import write_task

from hydra_peft.data.drawn import Drawing, load_drawn
from hydra_peft.data.few_shots import FIT, VAL, count_of, held_out, sample
from hydra_peft.data.images import ArrayImages
from hydra_peft.data.overlap import check_apart
from hydra_peft.data.promises import SeenLabels
from hydra_peft.data.sources import DataRequest
from hydra_peft.data.split import Split
from hydra_peft.data.split_roles import SplitRoles
from hydra_peft.data.task_data import TaskData
from hydra_peft.errors import UserError

SEEDS = (0, 1, 2)
SINGLE = [[int(label)] for label in np.random.default_rng(5).integers(0, 7, 400)]
#: as VOC: one common class, rare ones, some images with none
SEVERAL = [
    np.flatnonzero(row).tolist()
    for row in np.random.default_rng(6).random((300, 6)) < [0.5, 0.1, 0.1, 0.06, 0.05, 0.05]
]


def plain_single(labels: list[list[int]], shots: int, seed: int) -> list[int]:
    """A shuffled walk that keeps an image while its class has fewer than ``shots``."""
    order = list(range(len(labels)))
    random.Random(seed).shuffle(order)
    return [
        row
        for place, row in enumerate(order)
        if sum(labels[before] == labels[row] for before in order[:place]) < shots
    ]


def plain_several(labels: list[list[int]], classes: int, shots: int, seed: int) -> list[int]:
    """The rule of vision-datasets for images with any number of classes, image by image."""
    order = list(range(len(labels)))
    random.Random(seed).shuffle(order)
    kept: list[int] = []
    for row in order:
        counts = [sum(label in labels[one] for one in kept) for label in range(classes)]
        if min(counts) >= shots and labels[kept[-1]]:
            break
        if not labels[row]:
            if sum(not labels[one] for one in kept) < shots:
                kept.append(row)
            continue
        own = [counts[label] for label in labels[row]]
        if min(own) < shots and (min(own) <= shots / 2 or max(own) <= 1.5 * shots):
            kept.append(row)
    return kept


def plain_held_out(vectors: np.ndarray) -> list[int]:
    """The toolkit's loop over a matrix of classes, in which what is held out is blanked."""
    rest = vectors.astype(float).copy()
    lacking = np.ceil(rest.sum(axis=0) * 0.2)
    out = []
    while (lacking > 0).any():
        first = int(np.flatnonzero(lacking > 0)[0])
        row = int(np.flatnonzero(rest[:, first] > 0)[0])
        out.append(row)
        lacking -= rest[row]
        rest[row] = 0
    return sorted(out)


def vectors(labels: list[list[int]], classes: int) -> np.ndarray:
    return np.array([[label in own for label in range(classes)] for own in labels])


@pytest.mark.parametrize("shots", [1, 5, 15])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_sample_of_single_labels_is_the_published_one(shots: int, seed: int) -> None:
    chosen = sample(SINGLE, 7, shots=shots, seed=seed)
    assert chosen == plain_single(SINGLE, shots, seed)
    labels = [SINGLE[row] for row in chosen]
    assert Counter(label for (label,) in labels) == dict.fromkeys(range(7), shots)
    # A fifth of each class, rounded up: the first ones.
    firsts = {
        place
        for place, own in enumerate(labels)
        if labels[:place].count(own) < math.ceil(0.2 * shots)
    }
    assert held_out(labels, 7) == sorted(firsts)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_sample_of_several_labels_is_the_published_one(seed: int) -> None:
    chosen = sample(SEVERAL, 6, shots=5, seed=seed)
    assert chosen == plain_several(SEVERAL, 6, 5, seed)
    labels = [SEVERAL[row] for row in chosen]
    counts = vectors(labels, 6).sum(axis=0)
    assert counts.min() > 2.5  # more is not promised: a common class may come along too often
    assert any(not own for own in labels)
    assert held_out(labels, 6) == plain_held_out(vectors(labels, 6))
    assert all(labels[place] for place in held_out(labels, 6))


def test_samples_of_three_seeds_differ() -> None:
    for labels, classes in ((SINGLE, 7), (SEVERAL, 6)):
        assert len({tuple(sample(labels, classes, shots=5, seed=seed)) for seed in SEEDS}) == 3


def test_too_few_of_a_class_are_told() -> None:
    few = [[0]] * 9 + [[1]] * 3
    assert len(sample(few, 2, shots=3, seed=0)) == 6
    with pytest.raises(UserError, match=r"shots=4 is more than the 3 training examples of class 1"):
        sample(few, 2, shots=4, seed=0)
    with pytest.raises(UserError, match="the 0 training examples of class 2"):
        sample(few, 3, shots=1, seed=0)


ROLES = SplitRoles(train="train", test="test", fit=FIT, val=VAL)
DIGITS = DataRequest("mini", "digits", None, (), 10, Path(), Path(), ("train", FIT, VAL, "test"))


def pixels(split: Split) -> list[bytes]:
    images = split.inputs["image"]
    assert isinstance(images, ArrayImages)
    return [image.numpy().tobytes() for image in images.array]


def loaded(monkeypatch: pytest.MonkeyPatch, targets: torch.Tensor, shots: int) -> TaskData:
    """A task whose training images have ``targets``, sampled."""
    images = torch.arange(len(targets) * 12, dtype=torch.int32).remainder(251).to(torch.uint8)
    whole = Split({"image": ArrayImages(images.view(-1, 2, 2, 3))}, targets)
    asked: list[tuple[str, ...]] = []

    def load(_: str, request: DataRequest) -> TaskData:
        asked.append(request.splits)
        return TaskData(dict.fromkeys(request.splits, whole), "generated")

    monkeypatch.setattr("hydra_peft.data.drawn.load_task", load)
    classes = targets.shape[1] if targets.dtype == torch.bool else 10
    request = DataRequest("b", "t", None, (), classes, Path(), Path(), DIGITS.splits)
    data = load_drawn("mini", request, ROLES, Drawing(shots=shots, sampling_seed=1))
    assert asked == [("train", "test")]  # the source knows nothing of the sample's parts
    return data


@pytest.mark.parametrize("several", [False, True])
def test_the_parts_of_a_sample_are_its_fifth_and_the_rest(
    monkeypatch: pytest.MonkeyPatch, several: bool
) -> None:
    labels = [[row % 10] + ([(row * 7) % 10] if several else []) for row in range(200)]
    single = torch.tensor([own[0] for own in labels])
    targets = torch.from_numpy(vectors(labels, 10)) if several else single
    data = loaded(monkeypatch, targets, shots=5)
    chosen = sample([sorted(set(own)) for own in labels], 10, shots=5, seed=1)
    train, fit, val = (data.splits[name] for name in ("train", FIT, VAL))
    assert torch.equal(train.targets, targets[torch.tensor(chosen)])
    assert sorted(pixels(fit) + pixels(val)) == sorted(pixels(train))
    assert len(data.splits["test"]) == 200
    if not several:
        assert (len(fit), len(val)) == (40, 10)
    seen = data.seen_labels().splits
    assert {name: seen[name].count for name in seen} == {"train": 200, "test": 200}


def test_only_what_is_drawn_is_read(tmp_path: Path) -> None:
    """Of a large training set no other file is hashed, or even looked at."""
    write_task(tmp_path / "svhn", classes=4, train800=4, val200=4, test=4, train=40)
    (tmp_path / "svhn" / "train800val200.txt").unlink()
    (tmp_path / "svhn" / "train800.txt").unlink()
    wanted = ("train", FIT, VAL, "test")
    request = DataRequest("b", "svhn", "svhn", (), 4, tmp_path, tmp_path / "cache", wanted)
    drawing = Drawing(shots=2, sampling_seed=0)
    before = load_drawn("image_lists", request, ROLES, drawing).describe()
    drawn = set(sample([[row % 4] for row in range(40)], 4, shots=2, seed=0))
    for row in set(range(40)) - drawn:
        (tmp_path / "svhn" / "images" / "train" / f"{row:06d}.jpg").unlink()
    assert load_drawn("image_lists", request, ROLES, drawing).describe() == before
    assert before["counts"] == {"train": 8, FIT: 4, VAL: 4, "test": 4}


def test_one_shot_leaves_nothing_beside_what_is_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"shots=1 leaves nothing .*: take 2 shots or more"):
        loaded(monkeypatch, torch.arange(40) % 10, shots=1)


@pytest.mark.parametrize(
    ("count", "shared", "refused"),
    [(10, 1, False), (10, 2, True), (35, 3, False), (35, 4, True), (1000, 10, False)],
)
def test_a_sample_may_have_a_copy_of_a_test_image_or_few(
    count: int, shared: int, refused: bool
) -> None:
    """Public data sets have such copies; in a whole split one in a hundred is too many."""

    def split(first: int, size: int) -> Split:
        numbers = torch.arange(first, first + size, dtype=torch.int32)
        pixels = numbers.view(torch.uint8).view(size, 2, 2, 1).expand(-1, -1, -1, 3)
        return Split({"image": ArrayImages(pixels)}, torch.zeros(size, dtype=torch.int64))

    splits = {"train": split(0, count), "test": split(count - shared, 5000)}
    whole = SeenLabels({}, "generated")
    drawn = TaskData(splits, "generated", whole=whole)
    if refused:
        with pytest.raises(UserError, match=f"{shared} of {count} images of train are in test too"):
            check_apart(drawn, "b/t", SplitRoles("train", "test"))
    else:
        check_apart(drawn, "b/t", SplitRoles("train", "test"))
    if shared > 0.01 * count:  # as before of what is not drawn
        with pytest.raises(UserError, match="are in test too"):
            check_apart(TaskData(splits, "generated"), "b/t", SplitRoles("train", "test"))


def test_the_examples_of_a_sample_are_counted_without_reading_it() -> None:
    task = {"sizes": {"train": 1000, "test": 9}, "shots": 5, "classes": 10, "sampling_seed": 0}
    counts = {split: count_of(task, split) for split in ("train", FIT, VAL)}
    assert counts == {"train": 50, FIT: 40, VAL: 10}
    assert count_of({**task, "sampling_seed": None}, "train") == 50  # drawn by content
