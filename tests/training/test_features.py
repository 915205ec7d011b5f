"""Frozen features computed once give what computing them in each step gives."""

from __future__ import annotations

import torch
from torch import nn

import hydra_peft
from hydra_peft.data.split import Split
from hydra_peft.tasks import build_task
from hydra_peft.training.batches import Normalizer
from hydra_peft.training.evaluation import evaluate
from hydra_peft.training.features import features_of, head_alone, head_inputs

CPU = torch.device("cpu")
TASK = build_task("classification", outputs=3, metrics=["accuracy"])
NORMALIZE = Normalizer((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), CPU)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(48, 8), nn.Tanh(), nn.Dropout(0.5))
        self.head = nn.Linear(8, 3)
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return self.head(self.body(x.flatten(1)))


def split(count: int) -> Split:
    images = torch.randint(0, 256, (count, 3, 4, 4), dtype=torch.uint8)
    return Split({"image": images}, torch.arange(count) % 3)


def test_the_head_gets_what_the_model_gives_it() -> None:
    model, data = Net(), split(300)
    hydra_peft.inject(model, "linear")
    model.train()
    assert head_alone(model, torch.zeros(1, 3, 4, 4)) is model.head
    features = head_inputs(model, model.head, data, prepare=NORMALIZE, device=CPU, precision="fp32")
    assert model.calls == 1 + 2  # batches of 256, after one image to see that the head is last
    expected = model.body(NORMALIZE(data.take(slice(None))).flatten(1))
    assert torch.equal(features.inputs["features"], expected)
    assert not features.inputs["features"].requires_grad
    assert torch.equal(features.targets, data.targets)
    model(NORMALIZE(data.take(slice(None))))
    assert features.inputs["features"].shape == (300, 8)  # nothing listens any more
    arguments = {"device": CPU, "precision": "fp32"}
    assert evaluate(model.head, TASK, features, prepare=features_of, **arguments) == evaluate(
        model, TASK, data, prepare=NORMALIZE, **arguments
    )


def test_only_a_head_that_trains_alone_is_fed_from_features() -> None:
    for method in ("lora", "full"):
        model = Net()
        options = {"targets": ["body.0"], "rank": 2} if method == "lora" else {}
        hydra_peft.inject(model, method, **options)
        assert head_alone(model, torch.zeros(1, 3, 4, 4)) is None


def test_a_head_whose_output_the_model_changes_is_not_fed_from_features() -> None:
    class Flattened(Net):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Conv2d(8, 3, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.body(x.flatten(1))[:, :, None, None]).flatten(1)

    model = Flattened()
    hydra_peft.inject(model, "linear")
    assert head_alone(model, torch.zeros(1, 3, 4, 4)) is None
