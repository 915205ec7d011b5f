"""Methods of one module each that share factors, train the backbone's own values, or act by step.

The modules lie in tests/extra_methods; nothing else of the package knows of them.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from safetensors.torch import load_file
from tiny_net import TinyNet
from torch import Tensor, nn
from torch.func import functional_call

import hydra_peft
from hydra_peft import UserError
from hydra_peft.adapters.base import Adapter
from hydra_peft.adapters.surgery import replace_module
from hydra_peft.methods.lora import Lora

pytestmark = pytest.mark.usefixtures("extra_methods")

Fill = Callable[[nn.Module], None]
LAYERS = ("blocks.0.attn.proj", "blocks.1.attn.proj")
DOWN, GAINS, *UPS = (f"{LAYERS[0]}.down", f"{LAYERS[0]}.gains", *(f"{at}.up" for at in LAYERS))


@pytest.fixture
def wide() -> nn.Module:
    """A fresh model in float64."""
    return TinyNet().double()


@pytest.fixture
def shared(wide: nn.Module, randomize: Fill) -> nn.Module:
    """A copy with one down-projection for both layers, with values as after training."""
    model = copy.deepcopy(wide)
    hydra_peft.inject(model, "shared_down")
    randomize(model)
    return model


def is_one(model: nn.Module) -> bool:
    """Whether both layers hold one down-projection and one vector of gains."""
    first, second = (model.get_submodule(layer) for layer in LAYERS)
    return first.down is second.down and first.gains is second.gains


def plain(fresh: nn.Module, factors: dict[str, Tensor], x: Tensor) -> Tensor:
    """Compute the method's formula on the weights: W0 + U g D, with one D and one g."""
    update = factors[GAINS][:, None] * factors[DOWN]
    weights = {
        f"{at}.weight": fresh.get_submodule(at).weight.detach() + factors[up] @ update
        for at, up in zip(LAYERS, UPS, strict=True)
    }
    head = {name: factors[name] for name in ("head.weight", "head.bias")}
    return functional_call(fresh, {**weights, **head}, x)


def test_a_shared_factor_is_counted_and_trained_once(wide: nn.Module, shared: nn.Module) -> None:
    counts = hydra_peft.count_parameters(shared)
    assert counts.adapter == 2 * 12 + 2 * (12 * 2)  # D once, U twice
    # and the frozen gains, once
    assert counts.total == sum(p.numel() for p in wide.parameters()) + counts.adapter + 2
    trained = hydra_peft.trainable_parameters(shared)
    assert list(trained.adapter) == [DOWN, *UPS]
    state = hydra_peft.adapter_state_dict(shared)
    assert list(state) == [DOWN, *UPS, GAINS, "head.weight", "head.bias"]
    factors = {name: tensor.clone().requires_grad_(name != GAINS) for name, tensor in state.items()}
    steps = (
        torch.optim.AdamW(trained, lr=0.01),
        torch.optim.AdamW([t for t in factors.values() if t.requires_grad], lr=0.01),
    )
    for _ in range(3):
        x = torch.randn(5, 12, dtype=torch.float64)
        outputs = (shared(x), plain(wide, factors, x))
        torch.testing.assert_close(*outputs, rtol=0, atol=1e-12)
        for output, optimizer in zip(outputs, steps, strict=True):
            optimizer.zero_grad()
            output.pow(2).sum().backward()
            optimizer.step()
    assert len(steps[0].state) == 5
    for name, tensor in hydra_peft.adapter_state_dict(shared).items():
        torch.testing.assert_close(tensor, factors[name].detach(), rtol=0, atol=1e-10)


@pytest.mark.parametrize("change", ["none", "merged", "merged and cast", "cast", "copied"])
def test_a_shared_factor_is_saved_once_and_loaded_as_one(
    wide: nn.Module, shared: nn.Module, tmp_path: Path, change: str
) -> None:
    saved = copy.deepcopy(shared) if "copied" in change else shared
    x = torch.randn(4, 12, dtype=torch.float64)
    if "cast" in change:  # there and back, in values that float32 holds
        with torch.no_grad():
            for parameter in saved.parameters():
                parameter.copy_(parameter.float())
        wide = wide.float().double()
    expected = saved(x)
    if "merged" in change:
        assert hydra_peft.merge(saved) == list(LAYERS)
        torch.testing.assert_close(saved(x), expected, rtol=0, atol=1e-10)
    if "cast" in change:
        saved, wide, x, expected = saved.float(), wide.float(), x.float(), expected.float()
    hydra_peft.save_adapter(saved, tmp_path)
    tensors = load_file(tmp_path / "adapter.safetensors")
    assert sorted(tensors) == sorted([DOWN, GAINS, *UPS, "head.weight", "head.bias"])
    if "merged" in change:
        hydra_peft.unmerge(saved)
    fresh = copy.deepcopy(wide)
    hydra_peft.load_adapter(fresh, tmp_path)
    tolerance = 1e-5 if "cast" in change else 0.0
    for model in (fresh, copy.deepcopy(fresh), saved):
        assert is_one(model)
        torch.testing.assert_close(model(x), expected, rtol=0, atol=tolerance)
        assert hydra_peft.count_parameters(model) == hydra_peft.count_parameters(shared)
    wide.blocks[0]["attn"]["proj"].weight.data[0, 0] += 1
    with pytest.raises(UserError, match="other backbone weights"):
        hydra_peft.load_adapter(wide, tmp_path)


def test_a_shared_factor_survives_half_precision_while_merged(shared: nn.Module) -> None:
    hydra_peft.merge(shared)
    copied = copy.deepcopy(shared).bfloat16()
    assert hydra_peft.count_parameters(copied) == hydra_peft.count_parameters(shared)
    hydra_peft.unmerge(copied)
    assert is_one(copied)
    assert copied.get_submodule(LAYERS[1]).down.dtype == torch.bfloat16


def test_a_shared_factor_that_came_apart_is_refused(shared: nn.Module, tmp_path: Path) -> None:
    shared.load_state_dict(copy.deepcopy(shared.state_dict()), assign=True)
    with pytest.raises(UserError, match=rf"'{DOWN}' and '{LAYERS[1]}.down' were one parameter"):
        hydra_peft.save_adapter(shared, tmp_path)


@dataclasses.dataclass(frozen=True)
class LoraWithBiases(Lora):
    """LoRA that trains the biases of the layers it adapts too."""

    name: ClassVar[str] = "lora_with_biases"

    def apply(self, model: nn.Module, head: tuple[str, ...]) -> list[str]:
        layers = super().apply(model, head)
        for layer in layers:
            model.get_submodule(layer).base.bias.requires_grad_(True)
        return layers


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize(
    ("method", "count"),
    [
        ("own_biases", 2 * (12 + 48 + 12) + 12),
        (LoraWithBiases(rank=1), 2 * (2 * 12 + 12 + 48 + 2 * (1 + 12) + 2 * 12)),
    ],
    ids=["own_biases", "lora_with_biases"],
)
def test_the_backbones_own_values_travel_with_the_adapter(
    tiny: nn.Module, tmp_path: Path, randomize: Fill, method: object, count: int, merged: bool
) -> None:
    model = copy.deepcopy(tiny)
    model.blocks[1]["mlp"]["fc2"].bias = model.blocks[0]["mlp"]["fc2"].bias  # tied: trained once
    tiny = copy.deepcopy(model)
    done = hydra_peft.inject(model, method)  # type: ignore[arg-type]
    counts = hydra_peft.count_parameters(model)
    assert counts.adapter == count - 12
    randomize(model)
    x = torch.randn(4, 12)
    expected = model(x)
    if merged:
        assert hydra_peft.merge(model) == list(done.layers)
        torch.testing.assert_close(model(x), expected)
        assert hydra_peft.count_parameters(model) == counts
    hydra_peft.save_adapter(model, tmp_path)
    names = load_file(tmp_path / "adapter.safetensors").keys() - {"head.weight", "head.bias"}
    assert names == set(done.trained)
    fresh = copy.deepcopy(tiny)
    fresh.norm.bias.data += 1 if "norm.bias" in names else 0  # replaced by the saved one
    hydra_peft.load_adapter(fresh, tmp_path, method=type(done.method))
    assert torch.equal(fresh(x), expected)
    tiny.norm.weight.data[0] += 1  # frozen
    with pytest.raises(UserError, match="other backbone weights"):
        hydra_peft.load_adapter(tiny, tmp_path, method=type(done.method))


class Scaled(Adapter):
    """``g * h + b`` on the output h of ``base``, which is an adapter itself."""

    def __init__(self, base: Adapter) -> None:
        super().__init__()
        self.base = base
        self.gain = nn.Parameter(torch.ones_like(base.bias))
        self.shift = nn.Parameter(torch.zeros_like(base.bias))

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * self.base(x) + self.shift

    def merged(self) -> nn.Module:
        plain = self.base.merged()
        with torch.no_grad():
            plain.weight.mul_(self.gain[:, None])
            plain.bias.mul_(self.gain).add_(self.shift)
        return plain


@dataclasses.dataclass(frozen=True)
class ScaledLora(Lora):
    """Two adapters on each layer, one around the other."""

    name: ClassVar[str] = "scaled_lora"

    def apply(self, model: nn.Module, head: tuple[str, ...]) -> list[str]:
        layers = super().apply(model, head)
        for layer in layers:
            adapter = model.get_submodule(layer)
            replace_module(model, adapter, Scaled(adapter))
        return [*layers, *(f"{layer}.base" for layer in layers)]


def test_an_adapter_around_another(wide: nn.Module, tmp_path: Path, randomize: Fill) -> None:
    model = copy.deepcopy(wide)
    hydra_peft.inject(model, ScaledLora(rank=1))
    randomize(model)
    counts, x = hydra_peft.count_parameters(model), torch.randn(4, 12, dtype=torch.float64)
    assert counts.adapter == 2 * (2 * (1 + 12) + 2 * 12 + (12 + 48) + 2 * 2 * 12)
    expected = model(x)
    hydra_peft.save_adapter(model, tmp_path / "unmerged")
    hydra_peft.merge(model)
    torch.testing.assert_close(model(x), expected, rtol=0, atol=1e-10)
    assert model.state_dict().keys() == wide.state_dict().keys()
    assert hydra_peft.count_parameters(model) == counts
    hydra_peft.save_adapter(model, tmp_path / "merged")
    hydra_peft.unmerge(model)
    assert torch.equal(model(x), expected)
    for file in ("adapter.safetensors", "adapter.json"):
        files = [tmp_path / state / file for state in ("unmerged", "merged")]
        assert files[0].read_bytes() == files[1].read_bytes()
    fresh = copy.deepcopy(wide)
    hydra_peft.load_adapter(fresh, tmp_path / "merged", method=ScaledLora)
    assert torch.equal(fresh(x), expected)
    wide.blocks[0]["attn"]["proj"].weight.data[0, 0] += 1
    with pytest.raises(UserError, match="other backbone weights"):
        hydra_peft.load_adapter(wide, tmp_path / "merged", method=ScaledLora)
