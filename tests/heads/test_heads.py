"""Heads on timm's models: where they are put, from which random numbers, and what does not fit."""

from __future__ import annotations

import dataclasses

import pytest
import timm
import torch
from torch import nn

from hydra_peft.errors import UserError
from hydra_peft.heads import Head, head_class
from hydra_peft.heads._base import put_in_place_of_linear
from hydra_peft.heads.linear import Linear


@dataclasses.dataclass(frozen=True)
class Normed(Head):
    name = "normed"

    def attach(self, backbone: nn.Module, outputs: int) -> tuple[str, ...]:
        return put_in_place_of_linear(
            backbone, outputs, lambda width: nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 5))
        )


TINY = {
    "vit_tiny_patch16_224": {"img_size": 32, "depth": 1},
    "deit_tiny_distilled_patch16_224": {"img_size": 32, "depth": 1},
    "swin_tiny_patch4_window7_224": {"depths": (1, 1, 1, 1)},
}
NAMES = {
    "vit_tiny_patch16_224": ("head",),
    "deit_tiny_distilled_patch16_224": ("head", "head_dist"),
    "swin_tiny_patch4_window7_224": ("head.fc",),
}


@pytest.mark.parametrize("architecture", TINY)
def test_a_head_is_where_timm_has_the_classifier(architecture: str) -> None:
    with torch.device("meta"):
        for head in (Linear(), Normed()):
            model = timm.create_model(architecture, num_classes=0, **TINY[architecture])
            width = model.num_features
            assert head.attach(model, 5) == NAMES[architecture]
            for name in NAMES[architecture]:
                last = model.get_submodule(name)
                if head.name == "normed":
                    assert isinstance(last, nn.Sequential)
                    last = last[1]
                assert isinstance(last, nn.Linear)
                assert last.weight.shape == (5, width)
            size = model.patch_embed.img_size
            assert model.eval()(torch.zeros(2, 3, *size)).shape == (2, 5)


def test_the_linear_head_is_timms_own_bit_for_bit() -> None:
    model = timm.create_model("vit_tiny_patch16_224", num_classes=0, img_size=32, depth=1)
    torch.manual_seed(3)
    model.reset_classifier(7)
    usual = model.head.weight.detach().clone()
    torch.manual_seed(3)
    Linear().attach(model, 7)
    assert torch.equal(model.head.weight, usual)


class Convolved(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc: nn.Module = nn.Identity()

    def reset_classifier(self, outputs: int) -> None:
        self.fc = nn.Conv2d(4, outputs, 1)


def test_what_is_not_linear_is_replaced_by_no_head() -> None:
    assert Linear().attach(Convolved(), 3) == ("fc",)
    with pytest.raises(UserError, match="Convolved ends in 'fc', a Conv2d, where this head takes"):
        Normed().attach(Convolved(), 3)


def test_heads_are_found_by_name() -> None:
    assert head_class("linear") is Linear
    assert Linear().identity() == {"name": "linear"}
    with pytest.raises(UserError, match=r"head.name 'linaer' is unknown.*linear"):
        head_class("linaer")
