"""Recipes that methods' own releases state: complete, of published sizes, composed by protocol."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from timm.models.vision_transformer import VisionTransformer

import hydra_peft
from hydra_peft.config.check import check_config


def by_task(root: Path, method: str) -> dict[str, dict[str, Any]]:
    """Return what the release of ``method`` chose for each task, by option."""
    file = root / "conf" / "method_recipe" / f"released_{method}.yaml"
    dataset = yaml.safe_load(file.read_text())["dataset"]
    found: dict[str, dict[str, Any]] = dataset["recipe"]["by_task"]
    return found


@pytest.fixture(scope="module")
def tasks() -> list[str]:
    from hydra_peft.config.benchmarks import find_benchmark

    return list(find_benchmark("vtab1k").tasks)


def test_every_recipe_is_of_a_method_and_has_every_task(root: Path, tasks: list[str]) -> None:
    files = sorted((root / "conf" / "method_recipe").glob("released_*.yaml"))
    assert len(files) >= 9
    for file in files:
        method = file.stem.removeprefix("released_")
        assert (root / "conf" / "method" / f"{method}.yaml").is_file()
        if "by_task" in file.read_text():
            assert all(list(values) == tasks for values in by_task(root, method).values())


@pytest.mark.parametrize(
    ("method", "mean"), [("fact_tk", 68_985), ("fact_tt", 39_734), ("vpt_deep", 561_691)]
)
def test_mean_sizes_are_the_published_ones(
    root: Path, tasks: list[str], method: str, mean: int
) -> None:
    chosen = by_task(root, method)
    (option,) = set(chosen) - {"scale"}
    counts = {}
    for size in set(chosen[option].values()):
        with torch.device("meta"):
            model = VisionTransformer(num_classes=2, weight_init="skip")
        hydra_peft.inject(model, method, **{option: size})
        counts[size] = hydra_peft.count_parameters(model).adapter
    assert round(sum(counts[chosen[option][task]] for task in tasks) / 19) == mean


def test_noahs_subnets_have_the_published_mean(root: Path, tasks: list[str]) -> None:
    """By the formula; tests/methods/test_noah.py holds the code to it for one of them."""
    chosen = by_task(root, "noah")
    counts = []
    for task in tasks:
        blocks = zip(
            *(chosen[key][task] for key in ("adapter_widths", "lora_ranks", "prompts")), strict=True
        )
        counts.append(sum(1537 * a + 768 + 3072 * r + 768 * p for a, r, p in blocks))
    assert round(sum(counts) / 19) == 360_134
    assert counts[0] == 320_330


def test_they_act_under_the_protocol_alone(compose_train: Callable[..., Any]) -> None:
    words = ("method=fact_tk", "dataset=svhn")
    released = check_config(compose_train(*words, "protocol=released"))
    assert (released.method.rank, released.method.scale) == (32, 100.0)  # type: ignore[attr-defined]
    assert (released.train.batch_size, released.model.drop_path) == (64, 0.1)
    assert released.settings["method.rank"] == released.settings["optimizer.lr"] == "recipe"
    clean = check_config(compose_train(*words))
    assert clean.method.rank == 16  # type: ignore[attr-defined]
    other = check_config(compose_train("method=ssf", "dataset=clevr_dist", "protocol=released"))
    assert (other.optimizer.lr, other.optimizer.weight_decay) == (5e-2, 5e-2)
    assert (other.model.drop_path, other.scheduler.min_lr) == (0.1, 1e-8)


def test_a_task_without_a_value_is_told(compose_train: Callable[..., Any]) -> None:
    with pytest.raises(hydra_peft.UserError, match="has none for digits: choose"):
        check_config(compose_train("method=fact_tk", "protocol=released"))
