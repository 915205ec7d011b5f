"""What is said before a run starts: long steps, learning rates chosen on another backbone."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch

from hydra_peft.backbones.architectures import build_architecture
from hydra_peft.config.check import check_config
from hydra_peft.methods import build_method
from hydra_peft.runs.expectations import step_seconds, tell_expectations

Compose = Callable[..., Any]
VIT = "vit_small_patch14_dinov2"
WHOLE = "train.batch_size=100000"


@pytest.fixture(scope="module")
def skeletons() -> dict[int, torch.nn.Module]:
    with torch.device("meta"):
        return {size: build_architecture(VIT, {}, image_size=size) for size in (56, 518)}


def test_a_step_is_counted_in_operations(skeletons: dict[int, torch.nn.Module]) -> None:
    lora, full, linear = (build_method(name) for name in ("lora", "full", "linear"))
    # 22,056,192 parameters (positions of 37 x 37 patches among them), 1 + 37 x 37 tokens
    forward = 2 * 22_056_192 * 1370 * 64 / 4e10
    assert step_seconds(skeletons[518], linear, batch=64, threads=2) == pytest.approx(forward)
    assert step_seconds(skeletons[518], lora, batch=64, threads=2) == pytest.approx(2.2 * forward)
    assert step_seconds(skeletons[518], full, batch=32, threads=1) == pytest.approx(3 * forward)
    assert step_seconds(torch.nn.Linear(2, 2), lora, batch=64, threads=2) == 0
    with torch.device("meta"):  # of which each stage has fewer tokens, and wider ones
        swin = timm.create_model("swin_tiny_patch4_window7_224", num_classes=0)
    assert step_seconds(swin, lora, batch=64, threads=2) == 0


@pytest.mark.parametrize(
    ("size", "words", "told"),
    [
        (518, ["train.batch_size=64"], "64 images takes about 4 minutes"),
        (56, ["train.batch_size=64"], ""),
        (518, [WHOLE, "dataset.train_size=64"], "64 images takes about 4 minutes"),
        (518, [WHOLE, "dataset.sizes.train=64"], "64 images takes about 4 minutes"),
        (518, [WHOLE, "dataset.shots=6"], "60 images takes about 3 minutes"),
        (
            518,
            [WHOLE, "dataset.shots=6", "dataset.sampling_seed=0"],
            "60 images takes about 3 minutes",
        ),
    ],
)
def test_a_long_step_is_told_before_it_starts(
    compose_train: Compose,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    skeletons: dict[int, torch.nn.Module],
    size: int,
    words: list[str],
    told: str,
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    model = ["model=timm", f"model.architecture={VIT}", f"model.image_size={size}"]
    config = check_config(compose_train(*model, "optimizer.lr=1e-3", *words))
    with caplog.at_level(logging.WARNING):
        tell_expectations(config, skeletons[size], torch.device("cpu"))
        tell_expectations(config, skeletons[size], torch.device("meta"))  # no CPU: not known
    sentence = f"one step of {told} on 2 CPU threads"
    said = [record.getMessage().split(":")[0] for record in caplog.records]
    assert said == [sentence] * bool(told)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], ""),
        (["dataset=dtd", "model=vit_base_patch16_224_in21k"], ""),
        (["dataset=real/elpv", "model=timm", f"model.architecture={VIT}"], ""),
        (["model=timm", f"model.architecture={VIT}", "optimizer.lr=1e-3"], ""),
        (["model=timm", f"model.architecture={VIT}", "train.epochs=0"], ""),
        (["model=timm", f"model.architecture={VIT}"],
         f"optimizer.lr=0.001 is not tuned for {VIT}: the rates of mini/digits were chosen on "
         "vit_mini; set optimizer.lr, or let protocol.tune=true choose it"),
        (["dataset=dtd"], "optimizer.lr=0.001 is not tuned for vit_mini: the rates of vtab1k/dtd"),
    ],
)  # fmt: skip
def test_a_rate_that_was_chosen_on_another_backbone_is_told(
    compose_train: Compose, caplog: pytest.LogCaptureFixture, words: list[str], told: str
) -> None:
    with caplog.at_level(logging.WARNING):
        tell_expectations(
            check_config(compose_train(*words)), torch.nn.Linear(2, 2), torch.device("cpu")
        )
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == bool(told)
    assert not told or messages[0].startswith(told)


@pytest.mark.parametrize(
    ("method", "mini", "neutral"),
    [("lora", 1e-2, 1e-3), ("linear", 2e-2, 1e-2), ("full", 1e-3, 1e-4)],
)
def test_rates_of_mini_are_for_its_backbone_alone(
    compose_train: Compose, method: str, mini: float, neutral: float
) -> None:
    def rates(*words: str) -> tuple[float, list[float]]:
        config = check_config(compose_train(f"method={method}", *words))
        return config.optimizer.identity()["lr"], config.protocol.grid["optimizer.lr"]

    tuned, other = rates(), rates("model=timm", f"model.architecture={VIT}")
    fresh = rates("dataset=real/elpv")
    assert (tuned[0], other[0]) == (mini, neutral)
    assert other == fresh  # conf/recipe/neutral.yaml
    assert max(tuned[1]) > tuned[0] * 0.9
    assert tuned[1] != other[1]
