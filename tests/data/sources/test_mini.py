"""The embedded benchmark through its source, its yamls and its cache."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hydra_peft.config.check import check_config
from hydra_peft.data.promises import check_promises
from hydra_peft.data.sources import DataRequest, labels_of, load_task
from hydra_peft.errors import UserError

TASKS = sorted(
    p.stem for p in (Path(__file__).resolve().parents[3] / "conf/dataset/mini").glob("*.yaml")
)


def mini_task(name: str, folder: Path) -> DataRequest:
    splits = ("train800", "val200", "train", "test")
    return DataRequest("mini", name, None, (), 10, folder, folder, splits)


@pytest.mark.parametrize("task", TASKS)
def test_yaml_and_module_agree(
    task: str, tmp_path: Path, compose_train: Callable[..., Any]
) -> None:
    config = check_config(compose_train(f"dataset=mini/{task}")).dataset
    module = importlib.import_module(f"hydra_peft.data.mini.{task}")
    assert (config.name, config.classes, config.sizes["test"]) == (
        task,
        module.CLASSES,
        module.TEST_SIZE,
    )
    data = load_task("mini", mini_task(task, tmp_path))
    seen = data.seen_labels()
    assert not check_promises(
        seen,
        name=task,
        classes=config.classes,
        sizes=config.sizes,
        test=config.splits.test,
        allow_partial=False,
    )
    assert labels_of("mini", mini_task(task, tmp_path)) == seen
    again = load_task("mini", mini_task(task, tmp_path))
    assert again.describe() == data.describe()
    assert data.lineage == "generated"
    images, others = (one.splits["test"].inputs["image"] for one in (again, data))
    assert (images.pixels(3) == others.pixels(3)).all()


def test_three_groups_and_at_least_five_generated_tasks(
    compose_train: Callable[..., Any],
) -> None:
    groups = {t: check_config(compose_train(f"dataset=mini/{t}")).dataset.group for t in TASKS}
    assert set(groups.values()) == {"natural", "specialized", "structured"}
    assert len([t for t in TASKS if t != "digits"]) >= 5


def test_unknown_names(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="choose one of"):
        load_task("minni", mini_task("digits", tmp_path))
    with pytest.raises(UserError, match="task 'digts' is unknown"):
        load_task("mini", mini_task("digts", tmp_path))
