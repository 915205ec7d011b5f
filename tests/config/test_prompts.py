"""The prompts in conf/prompts: one file a task of ELEVATER, as many names as it has classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hydra_peft.checkout import ROOT
from hydra_peft.config.benchmarks import find_benchmark
from hydra_peft.config.text import from_yaml
from hydra_peft.text_prompts import Prompts

#: classes and templates of each task: openai/CLIP's data/prompts.md, ELEVATER's toolkit
SIZES = {
    "caltech101": (102, 34),
    "cifar10": (10, 18),
    "cifar100": (100, 18),
    "country211": (211, 5),
    "dtd": (47, 8),
    "eurosat": (10, 3),
    "fer2013": (7, 6),
    "fgvc_aircraft": (100, 2),
    "food101": (101, 1),
    "gtsrb": (43, 3),
    "hateful_memes": (2, 1),
    "kitti_distance": (4, 1),
    "mnist": (10, 1),
    "flowers102": (102, 1),
    "oxford_pets": (37, 1),
    "patch_camelyon": (2, 1),
    "rendered_sst2": (2, 1),
    "resisc45": (45, 18),
    "stanford_cars": (196, 8),
    "voc2007": (20, 1),
}
FOLDER = ROOT / "conf" / "prompts" / "elevater"


def prompts(path: Path) -> Prompts:
    return Prompts.of(from_yaml(path.read_text(encoding="utf-8"), str(path)), path.stem)


def test_every_task_has_its_texts() -> None:
    found = {path.stem: prompts(path) for path in FOLDER.glob("*.yaml")}
    assert {n: (len(p.names), len(p.templates)) for n, p in found.items()} == SIZES
    assert found.keys() == find_benchmark("elevater").tasks.keys()
    assert sum(len(p.names) for p in found.values()) == 1151


@pytest.mark.parametrize(
    ("task", "label", "said"),
    [
        ("caltech101", 1, "a photo of a off-center face."),
        ("cifar100", 98, "a photo of a woman."),
        ("country211", 71, "a photo i took in Germany."),
        ("fer2013", 4, "a photo of a neutral looking face."),
        ("gtsrb", 14, 'a zoomed in photo of a "stop" traffic sign.'),
        ("kitti_distance", 3, "a photo i took with no car."),
        ("mnist", 7, 'a photo of the number: "7".'),
        ("flowers102", 92, "a photo of a air plant, a type of flower."),
        ("patch_camelyon", 0, "this is a photo of lymph node"),
        ("resisc45", 8, "satellite imagery of circular farmland."),
        ("stanford_cars", 195, "a photo of a smart fortwo Convertible 2012."),
    ],
)
def test_what_is_said_of_a_class(task: str, label: int, said: str) -> None:
    found = prompts(FOLDER / f"{task}.yaml")
    if task == "country211":
        label = found.names.index("Germany")
        assert found.names[:3] == ("Andorra", "United Arab Emirates", "Afghanistan")
    assert found.sentences(found.names[label])[0] == said


def test_a_task_without_texts_has_none(compose_train: Callable[..., Any]) -> None:
    assert "prompts" not in compose_train().dataset
