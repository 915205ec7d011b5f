"""Heads of one vector a class: what they compute, how they are counted, what identifies them."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

import hydra_peft
from hydra_peft.data.split import Split
from hydra_peft.errors import UserError
from hydra_peft.heads import Head, head_class
from hydra_peft.heads.linear import Linear
from hydra_peft.heads.prototypes import Prototypes
from hydra_peft.runs.class_vectors import prototypes


def vit() -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(
        "vit_tiny_patch16_224", num_classes=0, img_size=32, depth=1, embed_dim=24, num_heads=1
    )


@pytest.mark.parametrize("norm", ["none", "unit", "batch"])
def test_outputs_are_the_formulas_and_a_norm_has_no_parameters(norm: str) -> None:
    model, images = vit().double(), torch.randn(6, 3, 32, 32, dtype=torch.float64)
    features = model.eval()(images)
    head = Linear(norm=norm, scale=3.0)
    assert head.attach(model, 5) == ("head",)
    model.double()
    hydra_peft.inject(model, "linear", head=["head"])
    assert hydra_peft.count_parameters(model).head == 5 * 24 + 5
    weight, bias = model.head.linear.weight, model.head.linear.bias
    if norm == "unit":
        features = features / features.norm(dim=1, keepdim=True)
    if norm == "batch":
        features = (features - features.mean(0)) / (features.var(0, unbiased=False) + 1e-5).sqrt()
    model.head.train()
    assert torch.allclose(model(images), 3 * (features @ weight.T + bias), atol=1e-10)


def test_without_norm_and_scale_a_linear_head_is_what_it_was() -> None:
    model = vit()
    assert Linear().attach(model, 5) == ("head",)
    assert type(model.head) is nn.Linear
    assert Linear().identity() == {"name": "linear"}
    assert Linear(norm="batch").identity() == {"name": "linear", "norm": "batch"}
    assert Prototypes().identity() == {"name": "prototypes", "norm": "unit", "scale": 10.0}
    assert [Linear().least_batch, Linear(norm="batch").least_batch] == [1, 2]
    assert isinstance(Linear(), Head)


def test_vectors_are_put_in_with_a_bias_of_zero_or_refused() -> None:
    model, head = vit(), Prototypes()
    names = head.attach(model, 5)
    rows = torch.randn(5, 24)
    head.set_vectors(model, names, rows)
    assert torch.equal(model.head.linear.weight, rows)
    assert not model.head.linear.bias.any()
    with pytest.raises(UserError, match=r"vectors of shape \(5, 16\) for a layer of shape \(5, 24"):
        head.set_vectors(model, names, torch.randn(5, 16))


def test_prototypes_are_normed_means_of_normed_features_also_of_several_labels() -> None:
    features = torch.randn(7, 4, dtype=torch.float64).float()
    targets = torch.tensor([0, 1, 0, 2, 1, 0, 2])
    unit = [row / row.norm() for row in features]
    expected = []
    for label in range(3):
        mean = sum(u for u, t in zip(unit, targets, strict=True) if t == label)
        expected.append(mean / mean.norm())
    found = prototypes(Split({"features": features}, targets), 3)
    assert torch.allclose(found, torch.stack(expected), atol=1e-6)
    several = torch.stack([targets == label for label in range(3)], dim=1)
    assert torch.equal(prototypes(Split({"features": features}, several), 3), found)
    several[3] = True  # an image of all three
    both = prototypes(Split({"features": features}, several), 3)
    mean = sum(u for u, t in zip(unit, targets, strict=True) if t == 0) + unit[3]
    assert torch.allclose(both[0], mean / mean.norm(), atol=1e-6)


def test_a_class_without_an_image_and_values_are_refused() -> None:
    split = Split({"features": torch.randn(3, 4)}, torch.tensor([0, 1, 3]))
    with pytest.raises(UserError, match=r"class 2 \(counted from 0\) has no training image"):
        prototypes(split, 4)
    with pytest.raises(UserError, match="is for classes, and this task has values"):
        prototypes(Split({"features": torch.randn(3, 4)}, torch.randn(3)), 1)


def test_an_unknown_norm_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"head.norm=bath is not allowed: it must be one of none, batch"
    ):
        head_class("linear")(norm="bath")
