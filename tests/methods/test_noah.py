"""NOAH's subnets against a plain forward pass, and the counts of the released ones."""

from __future__ import annotations

import copy

import pytest
import torch
from stock_vit import images, small_vit, vit_b16
from torch import Tensor, nn
from torch.nn import functional as F

import hydra_peft
from hydra_peft import UserError
from hydra_peft.methods import build_method

#: the released subnet of CIFAR-100 (ZhangYuanhan-AI/NOAH, experiments/NOAH/subnet/VTAB)
CIFAR100 = {
    "adapter_widths": [5, 10, 10, 10, 5, 1, 1, 1, 10, 10, 10, 1],
    "lora_ranks": [10, 1, 5, 5, 1, 10, 1, 1, 1, 10, 1, 1],
    "prompts": [10, 5, 10, 1, 5, 1, 10, 1, 10, 5, 1, 10],
}


def test_counts_of_the_released_subnet() -> None:
    model = vit_b16()
    hydra_peft.inject(model, "noah", **CIFAR100)
    counts = {"qkv": 0, "drop_path2": 0, "prompts": 0}
    for name, parameter in hydra_peft.trainable_parameters(model).adapter.items():
        part = (
            "prompts"
            if name.endswith("prompts")
            else "drop_path2"
            if ".drop_path2." in name
            else "qkv"
        )
        counts[part] += parameter.numel()
    assert counts == {"qkv": 144_384, "drop_path2": 122_954, "prompts": 52_992}
    assert hydra_peft.count_parameters(model).adapter == 320_330


def block(fresh: nn.Module, adapted: nn.Module, x: Tensor) -> Tensor:
    """Compute one block with its parts, from the tensors of the adapted one."""
    count = 0
    if hasattr(adapted, "prompts"):
        count = len(adapted.prompts)
        x = torch.cat((x, adapted.prompts.expand(len(x), -1, -1)), dim=1)
        adapted = adapted.base
    attention, normed = fresh.attn, fresh.norm1(x)
    qkv = attention.qkv(normed)
    if hasattr(adapted.attn.qkv, "parallel"):
        branch = adapted.attn.qkv.parallel
        qkv = qkv + normed @ branch.down.weight.T @ branch.up.weight.T
    q, k, v = qkv.unflatten(-1, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
    mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    x = x + attention.proj(mixed)
    y = fresh.mlp(fresh.norm2(x))
    if hasattr(adapted.drop_path2, "branch"):
        branch = adapted.drop_path2.branch
        z = y @ branch.down.weight.T + branch.down.bias
        y = y + (z * torch.sigmoid(1.702 * z)) @ branch.up.weight.T + branch.up.bias
    x = x + y
    return x[:, : x.shape[1] - count]


@pytest.mark.parametrize(
    "sizes",
    [
        {"adapter_widths": [3, 2], "lora_ranks": [2, 4], "prompts": [1, 5]},
        {"adapter_widths": [0, 2], "lora_ranks": [2, 0], "prompts": [3, 0]},
    ],
)
def test_outputs_are_the_formulas(sizes: dict[str, list[int]]) -> None:
    fresh = small_vit().double()
    model = copy.deepcopy(fresh)
    hydra_peft.inject(model, "noah", **sizes)
    x = images(dtype=torch.float64)
    tokens = fresh._pos_embed(fresh.patch_embed(x))
    for own, adapted in zip(fresh.blocks, model.blocks, strict=True):
        tokens = block(own, adapted, tokens)
    expected = fresh.head(fresh.norm(tokens)[:, 0])
    torch.testing.assert_close(model(x), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"adapter_widths": [1, 2, 3]}, "has 3 sizes for the 2 blocks of this backbone"),
        ({"adapter_widths": [0], "lora_ranks": [0], "prompts": [0]}, "there is nothing to train"),
        ({"lora_ranks": [40]}, "rank 40 of the parallel branch does not fit"),
    ],
)
def test_refusals_change_nothing(sizes: dict[str, list[int]], message: str) -> None:
    model = small_vit()
    before = str(model)
    with pytest.raises(UserError, match=message):
        hydra_peft.inject(model, "noah", **sizes)
    assert str(model) == before


def test_label() -> None:
    assert build_method("noah").label == "noah 5/5/5"
    assert build_method("noah", **CIFAR100).label == "noah 6.17/3.92/5.75"


def test_two_spellings_are_one_setting() -> None:
    one = build_method("noah", **CIFAR100)
    again = build_method("noah", **type(one).options_of(one.identity()))
    assert again.identity() == one.identity()
    assert build_method("noah", prompts=[5] * 12).identity() == build_method("noah").identity()
