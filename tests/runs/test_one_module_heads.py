"""Runs with a head that is one module and one yaml outside the package (tests/extra_heads)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from hydra_peft.cli import evaluate
from hydra_peft.cli.defaults import default_settings
from hydra_peft.config.check import check_config
from hydra_peft.config.identity import config_id, science
from hydra_peft.config.schema import RunConfig
from hydra_peft.errors import UserError
from hydra_peft.runs.collection import collect
from hydra_peft.runs.run import Outcome
from hydra_peft.tables.grouping import build_tables
from hydra_peft.tables.overrides import Origin
from hydra_peft.tensor_files import read_tensors

WIDTH, HIDDEN, CLASSES = 128, 12, 10
COUNT = HIDDEN * WIDTH + HIDDEN + CLASSES * HIDDEN + CLASSES


@pytest.fixture
def with_head(do: Callable[..., Outcome], extra_heads: Path) -> Callable[..., Outcome]:
    """Do a short run with the head of two layers."""
    place = f"hydra.searchpath=[file://{extra_heads}]"
    return lambda *words: do(place, "head=two_layers", *words)


def test_a_head_is_trained_counted_saved_scored_again_and_in_a_table(
    do: Callable[..., Outcome],
    with_head: Callable[..., Outcome],
    tmp_path: Path,
    shared_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    linear, two = do("method=lora"), with_head("method=lora")
    record = two.record
    assert record.status == "completed"
    assert record.parameters["head"] == COUNT
    assert record.parameters["adapter"] == linear.record.parameters["adapter"]
    saved = read_tensors(two.folder / "adapter.safetensors")
    shapes = {name: tuple(t.shape) for name, t in saved.items() if name.startswith("head.")}
    assert shapes == {
        "head.0.weight": (HIDDEN, WIDTH),
        "head.0.bias": (HIDDEN,),
        "head.3.weight": (CLASSES, HIDDEN),
        "head.3.bias": (CLASSES,),
    }
    assert saved["head.3.bias"].abs().sum() > 0

    monkeypatch.setattr(
        sys, "argv", ["evaluate.py", f"run={two.folder}", f"cache={shared_cache}", "device=cpu"]
    )
    assert evaluate.main() == 0
    assert f"{record.score:.4f}%" in capsys.readouterr().out
    records = [run.record for run in collect(tmp_path / "runs").completed]
    defaults = default_settings(Origin.of(found) for found in records)
    (table,), _ = build_tables(records, defaults=defaults)
    overrides = {
        row.heads["digits"]: [word for word in row.overrides if word.startswith("head.")]
        for row in table.rows
    }
    own = ["head.dropout=0.1", "head.hidden=12", "head.name=two_layers"]
    assert overrides == {COUNT: own, CLASSES * WIDTH + CLASSES: []}


def test_its_layers_are_no_targets(
    with_head: Callable[..., Outcome],
) -> None:
    with pytest.raises(UserError, match="part of the head, which is trained without an adapter"):
        with_head("method=lora", "method.targets=[head.0]")


def test_linear_probing_trains_it_on_features_unless_it_says_no(
    with_head: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = with_head("method=linear", "head.dropout=0")
    assert fast.record.path["features"] == "computed once"
    from hydra_peft.heads import head_class

    monkeypatch.setattr(head_class("two_layers"), "takes_features", False)
    slow = with_head("method=linear", "head.dropout=0", f"paths.runs={tmp_path}/slow")
    assert slow.record.path["features"] == "computed in each step"
    one, other = (read_tensors(o.folder / "adapter.safetensors") for o in (fast, slow))
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], atol=1e-4, rtol=1e-3)


def test_the_linear_head_is_no_part_of_an_identity_and_others_are(
    compose_train: Callable[..., Any], extra_heads: Path
) -> None:
    composed = compose_train()
    usual = check_config(composed)
    older = OmegaConf.create({k: v for k, v in composed.items() if k != "head"})
    assert usual.head.identity() == {"name": "linear"}
    assert "head" not in science(usual)
    assert config_id(check_config(older)) == config_id(usual)
    assert not [key for key in usual.settings if key.startswith("head")]
    place = f"hydra.searchpath=[file://{extra_heads}]"
    ids = {
        config_id(check_config(compose_train(place, "head=two_layers", f"head.hidden={hidden}")))
        for hidden in (12, 13)
    }
    assert len(ids | {config_id(usual)}) == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["head.hidden=0"], "head.hidden=0 is not allowed: it must be at least 1"),
        (["head.hidden=x"], "head.hidden=x is not allowed: it must be a whole number"),
        (["+head.hiden=3"], "unknown key 'head.hiden' of head 'two_layers'"),
        (["head.name=two_layer"], "head.name 'two_layer' is unknown.*two_layers"),
        (["~head.hidden"], "head.hidden has no value"),
    ],
)
def test_mistakes(
    configure: Callable[..., tuple[RunConfig, str]],
    extra_heads: Path,
    words: list[str],
    message: str,
) -> None:
    with pytest.raises(UserError, match=message):
        configure(f"hydra.searchpath=[file://{extra_heads}]", "head=two_layers", *words)
