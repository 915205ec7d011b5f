"""Words and sentences for the classes of ELEVATER's tasks, and mistakes in a file of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hydra_peft.checkout import option
from hydra_peft.config.benchmarks import find_benchmark
from hydra_peft.data import prompts
from hydra_peft.data.prompts import Prompts, find_prompts
from hydra_peft.errors import UserError

#: classes and templates of each task (Elevater_Toolkit_IC, vision_datasets.json and prompts.py)
PUBLISHED = {
    "caltech101": (102, 34),
    "cifar10": (10, 18),
    "cifar100": (100, 18),
    "country211": (211, 5),
    "dtd": (47, 8),
    "eurosat": (10, 3),
    "fer2013": (7, 6),
    "fgvc_aircraft": (100, 2),
    "flowers102": (102, 1),
    "food101": (101, 1),
    "gtsrb": (43, 3),
    "hateful_memes": (2, 1),
    "kitti_distance": (4, 1),
    "mnist": (10, 1),
    "oxford_pets": (37, 1),
    "patch_camelyon": (2, 1),
    "rendered_sst2": (2, 1),
    "resisc45": (45, 18),
    "stanford_cars": (196, 8),
    "voc2007": (20, 1),
}


def found(task: str) -> Prompts:
    one = find_prompts("elevater", task)
    assert one is not None
    return one


def test_every_task_has_its_classes_and_templates() -> None:
    tasks = find_benchmark("elevater").tasks
    counts = {task: (len(found(task).names), len(found(task).templates)) for task in tasks}
    assert counts == PUBLISHED
    assert sum(classes for classes, _ in counts.values()) == 1151  # 57.55 a task
    for task in tasks:
        one = found(task)
        assert len(set(one.keys)) == len(one.keys)
        assert len(set(one.templates)) == len(one.templates)


def test_sentences_are_the_templates_with_each_name() -> None:
    assert found("patch_camelyon").sentences() == [
        ["this is a photo of lymph node"],
        ["this is a photo of lymph node containing metastatic tumor tissue"],
    ]
    stop = found("gtsrb").sentences()[14]
    assert stop[0] == 'a zoomed in photo of a "stop" traffic sign.'
    car = found("caltech101").sentences()[20]
    assert (car[0], car[17 + 2], car[17 + 13]) == (
        "a photo of a side of a car.",
        "the plastic side of a car.",
        "art of the side of a car.",
    )


@pytest.mark.parametrize(
    ("task", "label", "key", "name"),
    [  # where the benchmark's order or words are not the original's
        ("caltech101", 0, "background_google", "background"),
        ("caltech101", 3, "leopards", "leopard"),
        ("country211", 142, "NO", "Norway"),
        ("fer2013", 4, "Neutral", "neutral"),
        ("fgvc_aircraft", 72, "F-16A/B", "F-16A-B"),
        ("flowers102", 15, "16", "globe flower"),
        ("food101", 16, "cheesecake", "cheesecake"),
        ("kitti_distance", 0, "below_8", "a photo i took of a car on my left or right side."),
        ("stanford_cars", 173, "Ram C/V Cargo Van Minivan 2012", "Ram C V Cargo Van Minivan 2012"),
    ],
)
def test_names_stand_at_their_label(task: str, label: int, key: str, name: str) -> None:
    one = found(task)
    assert (one.keys[label], one.names[label]) == (key, name)


def test_a_task_without_prompts_has_none() -> None:
    assert find_prompts("vtab1k", "svhn") is None


@pytest.mark.parametrize(
    "text",
    [
        "classes: {0: zero}\ntemplates: ['{}']",
        "classes: {no: zero}\ntemplates: ['{}']",
        "classes: {a: b}\ntemplates: [a photo]",
        "classes: {a: b}",
        "templates: ['{}']",
        "classes: []\ntemplates: ['{}']",
    ],
)
def test_a_malformed_file_is_named(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "prompts" / "b").mkdir(parents=True)
    (tmp_path / "prompts" / "b" / "t.yaml").write_text(text)
    monkeypatch.setattr("hydra_peft.checkout.CONF", tmp_path)
    monkeypatch.setattr(prompts, "CONF", tmp_path)
    option.cache_clear()
    with pytest.raises(UserError, match=r"prompts/b/t\.yaml must have 'classes'"):
        find_prompts("b", "t")


def test_two_classes_that_are_called_alike_are_refused() -> None:
    values = {"classes": {"a": "cat", "b": "cat"}, "templates": ["{}"]}
    with pytest.raises(UserError, match=r"dataset.prompts calls two classes 'cat': texts"):
        Prompts.of(values, "dataset.prompts")


def test_the_hash_is_of_what_is_said() -> None:
    one, other = found("cifar10"), found("cifar100")
    assert one.sha256 != other.sha256
    keyed = Prompts(tuple(f"x{key}" for key in one.keys), one.names, one.templates)
    assert keyed.sha256 == one.sha256
