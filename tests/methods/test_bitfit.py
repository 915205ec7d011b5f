"""BitFit: which parameters train."""

from __future__ import annotations

from collections import OrderedDict

import pytest
from stock_vit import small_vit, vit_b16
from torch import nn

import hydra_peft
from hydra_peft import UserError


def test_counts_of_vit_b16() -> None:
    model = vit_b16()
    hydra_peft.inject(model, "bitfit")
    assert hydra_peft.count_parameters(model).adapter == 102_912
    names = hydra_peft.trainable_parameters(model).adapter
    assert all(name.endswith(".bias") for name in names)
    assert len(names) == 12 * 6 + 2  # of each block six; of patch embedding and last norm


def test_some_of_them() -> None:
    model = small_vit()
    hydra_peft.inject(model, "bitfit", targets=["attn.qkv", "mlp.fc1"])
    names = list(hydra_peft.trainable_parameters(model).adapter)
    expected = [f"blocks.{i}.{layer}.bias" for i in (0, 1) for layer in ("attn.qkv", "mlp.fc1")]
    assert names == expected


def test_recurrent_layers_have_biases_too() -> None:
    model = nn.Sequential(OrderedDict(body=nn.LSTM(3, 4, bidirectional=True), head=nn.Linear(8, 2)))
    hydra_peft.inject(model, "bitfit")
    assert hydra_peft.count_parameters(model).adapter == 4 * 16  # two in each direction


def test_no_targets_are_no_bitfit() -> None:
    with pytest.raises(UserError, match=r"targets=\[\] lets no bias train, as method=linear does"):
        hydra_peft.inject(small_vit(), "bitfit", targets=[])


def test_no_bias_there() -> None:
    model = small_vit(qkv_bias=False)
    with pytest.raises(UserError, match=r"'attn\.qkv' matches no module of Vis.* with a bias"):
        hydra_peft.inject(model, "bitfit", targets=["attn.qkv"])
    assert all(parameter.requires_grad for parameter in model.parameters())
