"""What can be written into a layer's weights: told from its class, else tried out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from timm import layers
from torch import Tensor, nn
from torch.nn import functional as F

from hydra_peft.adapters.base import NotMergeable
from hydra_peft.adapters.plain import folding_axis, with_weights


class Activated(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).clamp(-6, 6)


class Normalised(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight / self.weight.norm(), self.bias)


@pytest.mark.parametrize(
    ("make", "axis"),
    [
        (lambda: nn.GroupNorm(2, 4), 1),
        (lambda: nn.LayerNorm((3, 4)), -1),
        (lambda: layers.LayerNorm(4), -1),
        (lambda: layers.LayerNorm2d(3), -3),
        (lambda: layers.LayerNormFp32(4), -1),
        (lambda: layers.BatchNormAct2d(4, apply_act=False), -3),
        (lambda: layers.BatchNormAct2d(4), None),
        (lambda: layers.GroupNormAct(4, 2), None),
        (lambda: layers.LayerNormAct2d(4), None),
        (lambda: layers.Conv2dSame(3, 4, 3, stride=2), -3),
        (lambda: layers.StdConv2d(3, 4, 3), None),
        (lambda: layers.ScaledStdConv2d(3, 4, 3), None),
        (lambda: Activated(3, 4), None),
        (lambda: Normalised(3, 4), None),
    ],
)
def test_layers_with_a_forward_of_their_own(
    make: Callable[[], nn.Module], axis: int | None
) -> None:
    layer, random = make(), torch.get_rng_state()
    assert folding_axis(layer) == folding_axis(layer.to("meta")) == axis
    assert torch.equal(torch.get_rng_state(), random)
    layer.to_empty(device="cpu")
    if axis is None:
        with pytest.raises(NotMergeable, match=f"{type(layer).__name__} computes something else"):
            with_weights(layer, layer.weight.detach(), None)
