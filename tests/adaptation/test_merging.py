"""Merging and unmerging whole models, stock timm included."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import hydra_peft
from hydra_peft import UserError
from hydra_peft.models.architectures import build_architecture

Fill = Callable[[nn.Module], None]
MODELS = {"vit_mini": 32, "vit_base_patch16_224.orig_in21k": 224}


@pytest.fixture(scope="module", params=list(MODELS))
def backbone(request: pytest.FixtureRequest) -> tuple[nn.Module, int]:
    torch.manual_seed(3)
    model = build_architecture(request.param, {})
    model.reset_classifier(10)
    return model.eval(), MODELS[request.param]


@pytest.mark.parametrize("method", ["lora", "seqlora", "hydra"])
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_merged_logits_equal_unmerged(
    backbone: tuple[nn.Module, int], method: str, dtype: torch.dtype, limit: float
) -> None:
    model = copy.deepcopy(backbone[0]).to(dtype)
    x = torch.randn(1, 3, backbone[1], backbone[1], dtype=dtype)
    with torch.no_grad():
        untouched = model(x)
        hydra_peft.inject(model, method, scale=4.5, bias=True)
        for parameter in hydra_peft.trainable_parameters(model).adapter.values():
            nn.init.normal_(parameter, std=0.02)
        unmerged = model(x)
        hydra_peft.merge(model)
        merged = model(x)
    difference = (merged - unmerged).abs().max().item()
    assert difference < limit
    # The branches must matter, or the comparison above says nothing.
    assert (unmerged - untouched).abs().max().item() > 100 * max(difference, 1e-4)


def test_merged_file_loads_into_stock_timm(backbone: tuple[nn.Module, int], tmp_path: Path) -> None:
    model, size = copy.deepcopy(backbone[0]), backbone[1]
    keys = list(model.state_dict())
    hydra_peft.inject(model, "hydra", scale=4.5)
    for parameter in hydra_peft.trainable_parameters(model).adapter.values():
        nn.init.normal_(parameter, std=0.02)
    hydra_peft.merge(model)
    assert sorted(model.state_dict()) == sorted(keys)
    assert {type(m).__module__.split(".")[0] for m in model.modules()} <= {"timm", "torch"}
    save_file(model.state_dict(), tmp_path / "merged.safetensors")
    name = "vit_base_patch16_224" if size == 224 else "vit_tiny_patch16_224"
    shape = {}
    if size == 32:
        from hydra_peft.models.vit_mini import VIT_MINI

        shape = VIT_MINI
    stock = timm.create_model(name, num_classes=10, **shape).eval()
    stock.load_state_dict(load_file(tmp_path / "merged.safetensors"), strict=True)
    x = torch.randn(2, 3, size, size)
    with torch.no_grad():
        assert torch.equal(stock(x), model(x))


def test_unmerge_restores_bits_and_adapters(tiny: nn.Module, randomize: Fill) -> None:
    hydra_peft.inject(tiny, "hydra", rank=2, scale=3.0)
    randomize(tiny)
    before = {n: t.clone() for n, t in tiny.state_dict().items()}
    for _ in range(3):
        hydra_peft.merge(tiny)
        assert not any("parallel" in name for name in tiny.state_dict())
        hydra_peft.unmerge(tiny)
    after = tiny.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[n], t) for n, t in before.items())
    assert tiny(torch.randn(2, 12)).requires_grad


def test_merge_survives_deepcopy_and_mode_changes(tiny: nn.Module, randomize: Fill) -> None:
    hydra_peft.inject(tiny, "lora", rank=2, dropout=0.5)
    randomize(tiny)
    x = torch.randn(3, 12)
    expected = tiny.eval()(x)
    hydra_peft.merge(tiny)
    other = copy.deepcopy(tiny)
    other.train()
    torch.testing.assert_close(other(x), expected)
    hydra_peft.unmerge(other)
    assert other.blocks[0]["attn"]["proj"].training
    torch.testing.assert_close(other.eval()(x), expected)
    assert "parallel" not in "".join(tiny.state_dict())


def test_refuses_results_that_are_not_finite(tiny: nn.Module, randomize: Fill) -> None:
    hydra_peft.inject(tiny, "hydra", rank=2)
    randomize(tiny)
    tiny.blocks[1]["mlp"]["fc2"].parallel.up.weight.data[0, 0] = float("inf")
    with pytest.raises(UserError, match=r"blocks\.1\.mlp\.fc2 .* nothing was merged"):
        hydra_peft.merge(tiny)
    assert type(tiny.blocks[0]["attn"]["proj"]).__name__ == "LowRankLinear"


def test_refuses_overflow_of_the_layers_own_dtype() -> None:
    model = nn.Sequential(nn.Linear(4, 4)).half()
    hydra_peft.inject(model, "lora", targets=["0"], rank=1, scale=100.0, head=())
    for parameter in hydra_peft.trainable_parameters(model).adapter.values():
        nn.init.constant_(parameter, 200.0)
    with pytest.raises(UserError, match=r"overflow torch\.float16"):
        hydra_peft.merge(model)


def test_misuse_is_one_sentence(tiny: nn.Module) -> None:
    with pytest.raises(UserError, match="carries no adapter"):
        hydra_peft.merge(tiny)
    hydra_peft.inject(tiny, "lora")
    with pytest.raises(UserError, match="not merged"):
        hydra_peft.unmerge(tiny)
    hydra_peft.merge(tiny)
    with pytest.raises(UserError, match="merged already"):
        hydra_peft.merge(tiny)


def test_linear_probing_has_nothing_to_merge(tiny: nn.Module) -> None:
    hydra_peft.inject(tiny, "linear")
    assert hydra_peft.merge(tiny) == []
