"""Attributes of an adapted layer that a model reads beside calling it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import hydra_peft
from hydra_peft.adapters.base import Adapter

BRANCHES = {"parallel": "lora", "sequential": "seqlora"}


def encoder() -> nn.Module:
    """A model whose layers are read in evaluation mode, on torch's fast path."""
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    return nn.TransformerEncoder(layer, 1).double().eval()


@pytest.mark.parametrize(
    ("method", "targets"),
    [
        ("ssf", ["linear1", "norm1", "out_proj"]),
        ("branches", ["linear1", "out_proj"]),
        ("adapter", ["linear1"]),
    ],
)
def test_a_model_that_reads_weights(
    method: str, targets: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x = encoder(), torch.randn(2, 3, 8, dtype=torch.float64)
    options: dict[str, Any] = {"targets": targets}
    if method == "branches":
        options = BRANCHES | {f"{key}_options": dict(options) for key in BRANCHES}
    hydra_peft.inject(model, method, head=(), **options)
    for parameter in hydra_peft.trainable_parameters(model):
        nn.init.normal_(parameter, mean=0.3)
    monkeypatch.setattr(torch.backends.mha, "_is_fastpath_enabled", False)
    with torch.no_grad():
        called = model(x)
    monkeypatch.undo()
    with torch.no_grad():
        if method == "adapter":
            with pytest.raises(AttributeError, match=r"reads 'weight' of .* has no place: adapt"):
                model(x)
        else:
            torch.testing.assert_close(model(x), called, rtol=0, atol=1e-10)


def test_what_a_layer_is_like_is_read_from_its_adapter() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 5), encoder())
    hydra_peft.inject(model, "ssf", targets=["0"], head=("1",))
    assert (model[0].kernel_size, model[0].out_channels) == ((5, 5), 4)
    model = encoder()
    hydra_peft.inject(model, "adapter", targets=["linear1"], head=())
    adapter = model.get_submodule("layers.0.linear1")
    assert isinstance(adapter, Adapter)
    assert adapter.in_features == 8
    for name in ("reset_parameters", "weigth"):  # a method would compute past the adapter
        with pytest.raises(AttributeError, match=f"SequentialAdapter' object has no .* '{name}'"):
            getattr(adapter, name)
