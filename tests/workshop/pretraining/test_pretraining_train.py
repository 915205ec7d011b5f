from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from hydra_peft.backbones.vit_mini import VIT_MINI
from hydra_peft.workshop.pretraining.model import SourceModel, score, source_loss
from hydra_peft.workshop.pretraining.options import PretrainOptions
from hydra_peft.workshop.pretraining.scenes import SceneSource
from hydra_peft.workshop.pretraining.train import (
    learning_rate_factor,
    parameter_groups,
    pretrain,
    top_difficulty,
)


def small_run(path: Path, seed: int = 0, **changes: int) -> PretrainOptions:
    sizes = {"steps": 3, "batch_size": 8, "warmup_steps": 1, "report_every": 2, "threads": 1}
    return PretrainOptions(output=path, seed=seed, **{**sizes, **changes})


@pytest.fixture(autouse=True)
def keep_threads() -> object:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_learning_rate_rises_then_falls_to_zero() -> None:
    factors = [learning_rate_factor(step, 100, 10) for step in range(101)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == pytest.approx(1.0)
    assert all(a >= b for a, b in itertools.pairwise(factors[10:]))
    assert factors[55] == pytest.approx(0.5)
    assert factors[100] == pytest.approx(0.0)


def test_difficulty_starts_at_zero_and_reaches_one(tmp_path: Path) -> None:
    options = PretrainOptions(tmp_path / "w", steps=100, warmup_steps=10, ramp=0.5)
    values = [top_difficulty(step, options) for step in range(100)]
    assert values[:11] == [0.0] * 11
    assert values[30] == pytest.approx(0.5)
    assert values[50:] == [1.0] * 50
    assert top_difficulty(0, PretrainOptions(tmp_path / "w", ramp=0.0)) == 1.0
    # A warm-up that outlasts the ramp leaves no room to rise.
    short = PretrainOptions(tmp_path / "w", steps=20, warmup_steps=10, ramp=0.5)
    assert [top_difficulty(step, short) for step in (0, 9, 10)] == [0.0, 0.0, 1.0]


def test_only_matrices_decay() -> None:
    model = SourceModel()
    decayed, plain = parameter_groups(model, 0.05)
    names = {id(value): name for name, value in model.named_parameters()}
    kept = {names[id(value)] for value in plain["params"]}  # type: ignore[attr-defined]
    assert len(names) == len(decayed["params"]) + len(plain["params"])  # type: ignore[arg-type]
    assert {"backbone.pos_embed", "backbone.cls_token", "backbone.norm.weight"} <= kept
    assert "backbone.blocks.0.attn.qkv.weight" not in kept


def test_an_untrained_model_starts_near_chance() -> None:
    torch.manual_seed(0)
    model, source = SourceModel(), SceneSource(1)
    batch = source.batch(32)
    loss = float(source_loss(model(batch.images), batch).detach())
    chance = math.log(256) + math.log(16) + 0.3 * math.log(8)
    assert chance - 1.0 < loss < chance + 6.0
    assert score(model, source, 2, 32).identity < 0.2
    with pytest.raises(ValueError, match="at least one batch"):
        score(model, source, 0, 32)


def test_steps_on_one_batch_lower_its_loss() -> None:
    torch.manual_seed(0)
    model, batch = SourceModel(), SceneSource(2).batch(32, top=0.0)
    optimizer = torch.optim.AdamW(parameter_groups(model, 0.05), lr=1e-3)
    losses = []
    for _ in range(30):
        loss = source_loss(model(batch.images), batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]


def test_a_run_writes_a_headless_backbone_with_its_history(tmp_path: Path) -> None:
    path, lines = tmp_path / "deep" / "weights.safetensors", []
    result = pretrain(small_run(path, save_every=2), lines.append)
    assert len(lines) == 1
    assert "step 2/3" in lines[0]
    assert 0.0 <= result.identity <= 1.0
    plain = timm.create_model("vit_tiny_patch16_224", pretrained=False, num_classes=0, **VIT_MINI)
    stored = load_file(path)
    assert set(stored) == set(plain.state_dict())
    assert {value.dtype for value in stored.values()} == {torch.float32}
    with safe_open(path, framework="pt") as opened:
        metadata = opened.metadata()
    assert metadata["steps"] == "3"
    assert metadata["seed"] == "0"
    assert metadata["torch"] == torch.__version__
    assert "--threads 1" in metadata["made_by"]
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a", "b", "c")]
    for path, seed in zip(paths, (0, 0, 1), strict=True):
        pretrain(small_run(path, seed), lambda _: None)
    first, again, other = (load_file(path) for path in paths)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["pos_embed"], other["pos_embed"])


@pytest.mark.parametrize(
    "changes", [{"steps": 0}, {"batch_size": 0}, {"ramp": 1.5}, {"learning_rate": 0.0}]
)
def test_impossible_options_are_refused(tmp_path: Path, changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        PretrainOptions(tmp_path / "w", **changes)  # type: ignore[arg-type]
