"""The settings of runs without overrides, as conf has them today."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from class_folders import write_classes

from hydra_peft.cli.defaults import default_settings
from hydra_peft.config.check import check_config
from hydra_peft.tables.overrides import Origin

VIT_B = "vit_base_patch16_224_in21k"


@pytest.mark.parametrize(
    ("protocol", "method"),
    [
        *(("clean", method) for method in ("hydra", "linear")),
        *((protocol, "hydra") for protocol in ("official", "validation")),
        *(
            pytest.param(*pair, marks=pytest.mark.long)
            for pair in (
                *(("clean", "lora"), ("clean", "seqlora"), ("clean", "full")),
                *(("paper", "hydra"), ("official", "full")),
            )
        ),
    ],
)
def test_they_are_those_of_the_experiments(
    compose_train: Callable[..., Any], protocol: str, method: str
) -> None:
    origin = Origin("vtab1k", protocol, method, VIT_B, tuned=False)
    words = ("+experiment=table8", "dataset=svhn", f"method={method}", f"protocol={protocol}")
    composed = check_config(compose_train(*words, "seed=3"))
    roles = {"validation": ("fit", "val")}.get(protocol, ("train", "test"))
    expected = dict(zip(("protocol.train_split", "protocol.evaluate_split"), roles, strict=True))
    assert default_settings([origin])[origin] == {**composed.settings, **expected}


def test_variants_stand_beside_their_method(compose_train: Callable[..., Any]) -> None:
    origin = Origin("mini", "clean", "adapter", "vit_mini", tuned=False)
    found = default_settings([origin])
    assert {origin.variant for origin in found} == {"", "adapter_elevater", "adapter_houlsby"}
    for one, settings in found.items():
        words = (f"method={one.variant or one.method}", "dataset=mini/digits")
        own = check_config(compose_train(*words)).settings
        assert {k: v for k, v in settings.items() if k.startswith("method.")} == {
            k: v for k, v in own.items() if k.startswith("method.")
        }


def test_tuned_ones_have_the_grid() -> None:
    origin = Origin("mini", "clean", "hydra", "vit_mini", tuned=True)
    settings = default_settings([origin])[origin]
    assert settings["optimizer.lr"] == settings["method.scale"] == "tuned"
    assert settings["protocol.grid"]["lr"] == [0.002, 0.005, 0.01]


def test_those_tuned_by_optuna_have_the_number_of_trials() -> None:
    origin = Origin("mini", "clean", "hydra", "vit_mini", tuned=True)
    drawn = dataclasses.replace(origin, search="optuna")
    found = default_settings([origin, drawn])
    more = {"protocol.search": "optuna", "protocol.trials": 20}
    assert found[drawn] == {**found[origin], **more}


@pytest.mark.parametrize(
    ("protocol", "search"),
    [("clean", "elevater"), ("clean", "elevater_released"), ("official", "elevater_released")],
)
def test_a_search_that_wants_another_grid_has_settings_too(protocol: str, search: str) -> None:
    origin = Origin("mini", protocol, "lora", "vit_mini", tuned=True, search=search)
    settings = default_settings([origin])[origin]
    assert settings["optimizer.lr"] == settings["optimizer.weight_decay"] == "tuned"
    assert settings["protocol.search"] == search


def test_any_timm_model_is_known_by_its_name() -> None:
    origin = Origin("mini", "clean", "lora", "vit_small_patch16_224.augreg_in21k", tuned=False)
    settings = default_settings([origin])[origin]
    assert settings["model.architecture"] == "vit_small_patch16_224.augreg_in21k"


@pytest.mark.parametrize(
    "change",
    [
        {"protocol": "clean-tuning"},
        {"method": "../method/lora"},
        {"protocol": "official", "tuned": True},
        {"tuned": True, "search": "dice"},
    ],
)
def test_what_conf_does_not_have_is_left_out(change: dict[str, Any]) -> None:
    origin = Origin("mini", "clean", "lora", "vit_mini", tuned=False)
    found = default_settings([origin, dataclasses.replace(origin, **change)])
    assert [known for known in found if not known.variant] == [origin]


@pytest.mark.parametrize("benchmark", ["own", "elsewhere"])
def test_ones_own_data_is_held_against_the_recipe_that_it_takes(
    compose_train: Callable[..., Any], benchmark: str, tmp_path: Path
) -> None:
    root = write_classes(tmp_path / "pets", {"dog": 5, "cat": 5})
    words = ["dataset=folder", f"dataset.root={root}", f"dataset.benchmark={benchmark}"]
    for tuned in (False, True):
        mine = check_config(compose_train(*words, f"protocol.tune={str(tuned).lower()}"))
        origin = Origin(benchmark, "clean", "hydra", "vit_mini", tuned=tuned)
        assert default_settings([origin])[origin] == mine.settings


def test_a_part_of_conf_that_is_broken_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: Path
) -> None:
    import shutil

    shutil.copytree(root / "conf", tmp_path / "conf")
    (tmp_path / "conf/method/lora.yaml").write_text("name: lora\nrnak: 3\n")
    monkeypatch.setattr("hydra_peft.checkout.CONF", tmp_path / "conf")
    origins = [Origin("mini", "clean", m, "vit_mini", tuned=False) for m in ("lora", "hydra")]
    assert {found.method for found in default_settings(origins)} == {"hydra"}
