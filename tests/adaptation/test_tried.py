"""Merging adapters of users' own classes: tried out, since nothing else says what they compute."""

from __future__ import annotations

import copy
import dataclasses
import threading
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

import hydra_peft
from hydra_peft import UserError
from hydra_peft.adapters.base import Adapter, NotMergeable
from hydra_peft.adapters.linear_adapter import LinearAdapter
from hydra_peft.adapters.low_rank import LowRankLinear
from hydra_peft.adapters.scale_shift import ScaleShift
from hydra_peft.methods.lora import Lora

Fill = Callable[[nn.Module], None]


class Twice(LowRankLinear):
    """Computes twice the update that it inherits, and merges once that."""

    def forward(self, x: Tensor) -> Tensor:
        out = self.base(x)
        return out + 2 * (super().forward(x) - out)


class Counted(LowRankLinear):
    """Computes what it inherits, and counts."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x)


class Gain(LinearAdapter):
    """Multiplies the output by a learned factor, and merges it."""

    def __init__(self, base: nn.Linear, **_options: Any) -> None:
        super().__init__()
        self.base = base
        self.gain = nn.Parameter(base.weight.new_ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * self.base(x)

    def folded(self, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        gain = self.gain.to(dtype)
        return gain * self.base.weight.to(dtype), gain * self.base.bias.to(dtype)


class Folded(LowRankLinear):
    """Computes with gradients what it inherits, and without them what it merges into."""

    def folded(self, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
        weight, bias = super().folded(dtype)
        return 2 * weight, bias


def method_of(cls: type[LinearAdapter]) -> type[Lora]:
    """A method that puts ``cls`` in the place of layers."""

    @dataclasses.dataclass(frozen=True)
    class Own(Lora):
        name: ClassVar[str] = "own"

        def adapters(self, layers: Mapping[str, nn.Linear]) -> dict[str, Adapter]:
            return {name: cls(layer, **self.branch_options()) for name, layer in layers.items()}

    return Own


@pytest.mark.parametrize("cls", [Twice, Folded])
@pytest.mark.parametrize("cast", [nn.Module.double, nn.Module.float, nn.Module.bfloat16])
def test_what_computes_otherwise_than_it_merges_is_refused(
    tiny: nn.Module, randomize: Fill, cls: Any, cast: Callable[[nn.Module], nn.Module]
) -> None:
    model = cast(tiny)
    hydra_peft.inject(model, method_of(cls), rank=2)
    randomize(model)
    x = torch.randn(3, 12, dtype=next(model.parameters()).dtype)
    expected = model(x)
    said = r"blocks\.0\..* (Twice|Folded) computes something else merged \(off by \d.*define both"
    with pytest.raises(NotMergeable, match=said):
        hydra_peft.merge(model)
    assert torch.equal(model(x), expected)


@pytest.mark.parametrize("cls", [Counted, Gain])
@pytest.mark.parametrize("cast", [nn.Module.double, nn.Module.float, nn.Module.bfloat16])
def test_what_merges_into_what_it_computes_is_merged(
    tiny: nn.Module, randomize: Fill, cls: Any, cast: Callable[[nn.Module], nn.Module]
) -> None:
    model = cast(tiny)
    hydra_peft.inject(model, method_of(cls), rank=2)
    randomize(model)
    layer = model.get_submodule("blocks.0.mlp.fc2")
    x = torch.randn(3, 48, dtype=next(model.parameters()).dtype)
    expected = layer(x)
    state = torch.get_rng_state()
    with torch.autocast("cpu", torch.bfloat16):
        hydra_peft.merge(model)
    assert torch.equal(state, torch.get_rng_state())
    close = 0.1 if x.dtype == torch.bfloat16 else 1e-5
    merged = model.get_submodule("blocks.0.mlp.fc2")(x)
    torch.testing.assert_close(merged, expected, rtol=close, atol=close)
    assert getattr(layer, "calls", 1) == 1  # a copy was tried


class Louder(LowRankLinear):
    """Forgets, merged, that its update is four times what it inherits."""

    def forward(self, x: Tensor) -> Tensor:
        out = self.base(x)
        return out + 4 * (super().forward(x) - out)


class Curved(LowRankLinear):
    """Adds no linear function."""

    def forward(self, x: Tensor) -> Tensor:
        out = self.base(x)
        return out + torch.tanh(super().forward(x) - out)


def test_branches_of_a_class_of_its_own_are_computed(tiny: nn.Module, randomize: Fill) -> None:
    class Halved(LowRankLinear):
        def three_branches(self, x: Tensor) -> Tensor:
            return super().three_branches(x) / 2

    hydra_peft.inject(tiny, method_of(Halved), rank=2)
    randomize(tiny)
    layer: Any = tiny.get_submodule("blocks.0.mlp.fc2")
    x = torch.randn(3, 48)
    assert torch.equal(layer(x), layer.three_branches(x))
    with pytest.raises(NotMergeable, match="Halved computes something else merged"):
        hydra_peft.merge(tiny)


@pytest.mark.parametrize(("cls", "size"), [(Louder, 0.1), (Curved, 0.4)])
def test_half_precision_hides_no_small_difference(
    tiny: nn.Module, randomize: Fill, cls: Any, size: float
) -> None:
    model = tiny.bfloat16()
    hydra_peft.inject(model, method_of(cls), rank=2)
    randomize(model)
    with torch.no_grad():
        for parameter in hydra_peft.trainable_parameters(model).adapter.values():
            parameter *= size
    with pytest.raises(NotMergeable, match=r"merged \(off by [0-7]\.\d*%"):
        hydra_peft.merge(model)


class Keeping(LowRankLinear):
    """Keeps its outputs, for a penalty, a running mean of them, and what guards these."""

    average: Tensor

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.kept: dict[str, Any] = {"guard": threading.Lock(), "outputs": deque()}
        self.register_buffer("average", self.base.weight.new_zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        out = super().forward(x)
        with self.kept["guard"]:
            self.kept["outputs"].append(out)
            self.average = 0.9 * self.average + 0.1 * out.mean()
        return out


@pytest.mark.parametrize("cast", [nn.Module.float, nn.Module.bfloat16])
def test_what_keeps_an_output_and_a_lock_is_merged_and_saved(
    tiny: nn.Module, randomize: Fill, cast: Callable[[nn.Module], nn.Module], tmp_path: Path
) -> None:
    model = cast(tiny)
    hydra_peft.inject(model, method_of(Keeping), rank=2)
    randomize(model)
    x = torch.randn(3, 12, dtype=next(model.parameters()).dtype)
    expected = model(x)
    layer: Any = model.get_submodule("blocks.0.mlp.fc2")
    average = layer.average
    assert hydra_peft.merge(model)
    assert layer.average is average
    assert [out.dtype for out in layer.kept["outputs"]] == [x.dtype]
    model.double()
    hydra_peft.save_adapter(model, tmp_path)
    assert layer.average is average
    hydra_peft.unmerge(model)
    torch.testing.assert_close(model(x.double()), expected.double(), rtol=0.1, atol=0.1)


@pytest.mark.parametrize("merged", [False, True])
def test_a_mask_in_an_adapter_is_saved(tiny: nn.Module, tmp_path: Path, merged: bool) -> None:
    class Masked(LowRankLinear):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.register_buffer("hidden", torch.tensor([0.0, -torch.inf]))

    fresh = copy.deepcopy(tiny)
    hydra_peft.inject(tiny, method_of(Masked), rank=2)
    if merged:
        hydra_peft.merge(tiny)
    hydra_peft.save_adapter(tiny, tmp_path)
    hydra_peft.load_adapter(fresh, tmp_path, method=method_of(Masked)(rank=2))


@pytest.mark.parametrize(
    "value",
    [
        torch.eye(2).to_sparse(),
        torch.nested.nested_tensor([torch.ones(1), torch.ones(2)]),
        torch.eye(2).to(torch.float8_e4m3fn),
        torch.eye(2, dtype=torch.complex128),
    ],
    ids=["sparse", "nested", "float8", "complex128"],
)
def test_a_buffer_that_cannot_be_saved_is_told_before_training(
    tiny: nn.Module, value: Tensor
) -> None:
    class Odd(LowRankLinear):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.register_buffer("odd", value)

    before = list(tiny.state_dict())
    with pytest.raises(UserError, match=r"proj\.odd' of Odd is quantised, sparse, nested or of "):
        hydra_peft.inject(tiny, method_of(Odd), rank=2)
    assert list(tiny.state_dict()) == before


class Normed(LowRankLinear):
    """Has a weight that is computed from its length and direction."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        assert self.parallel is not None
        weight_norm(self.parallel.down)


def test_what_computes_weights_of_its_own_is_saved_and_loaded(
    tiny: nn.Module, randomize: Fill, tmp_path: Path
) -> None:
    fresh = copy.deepcopy(tiny)
    hydra_peft.inject(tiny, method_of(Normed), rank=2)
    randomize(tiny)
    hydra_peft.save_adapter(tiny, tmp_path)
    hydra_peft.load_adapter(fresh, tmp_path, method=method_of(Normed)(rank=2))
    x = torch.randn(3, 12)
    torch.testing.assert_close(fresh(x), tiny(x), rtol=0, atol=0)
    hydra_peft.merge(tiny)
    torch.testing.assert_close(fresh(x), tiny(x))


def test_random_numbers_are_left_alone(tiny: nn.Module) -> None:
    class Noisy(LowRankLinear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + 1e-9 * torch.randn_like(x).sum()

    hydra_peft.inject(tiny, method_of(Noisy), rank=2)
    state = torch.get_rng_state()
    hydra_peft.merge(tiny)
    assert torch.equal(state, torch.get_rng_state())


def test_a_forward_that_an_inherited_merged_does_not_know() -> None:
    class Squared(ScaleShift):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) ** 2

    model = nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 2))
    hydra_peft.inject(model, "ssf")
    model[0].__class__ = Squared
    with pytest.raises(NotMergeable, match=r"^0: Squared has a forward\(\) of its own and the"):
        hydra_peft.merge(model)


class OnGrids(LowRankLinear):
    """Takes grids of tokens alone, as Swin's layers get them."""

    def forward(self, x: Tensor) -> Tensor:
        batch, height, width, features = x.shape
        out: Tensor = super().forward(x.reshape(batch, height * width, features))
        return out.reshape(batch, height, width, -1)


class OfOneLength(LowRankLinear):
    """Takes 7 tokens alone."""

    def forward(self, x: Tensor) -> Tensor:
        assert x.shape[-2] == 7, "I take 7 tokens"
        return super().forward(x)


@pytest.mark.parametrize("cls", [OnGrids, OfOneLength])
def test_what_takes_other_inputs_is_merged(
    tiny: nn.Module, randomize: Fill, cls: Any, caplog: pytest.LogCaptureFixture
) -> None:
    hydra_peft.inject(tiny, method_of(cls), rank=2)
    randomize(tiny)
    hydra_peft.merge(tiny)
    said = "what OfOneLength merges into could not be tried out (I take 7 tokens)"
    assert (said in caplog.text) == (cls is OfOneLength)


def test_an_adapter_of_fewer_digits_than_its_layer(tiny: nn.Module, randomize: Fill) -> None:
    class Half(Gain):
        own_dtype = True

    model = tiny.double()
    hydra_peft.inject(model, method_of(Half))
    randomize(model)
    for layer in hydra_peft.trainable_parameters(model):
        layer.data = layer.data.float()
    hydra_peft.merge(model)


def test_a_forward_out_of_a_class_that_comes_before() -> None:
    class Louder:
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)  # type: ignore[misc]

    class LoudScale(Louder, ScaleShift):
        pass

    model = nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 2))
    hydra_peft.inject(model, "ssf")
    model[0].__class__ = LoudScale
    with pytest.raises(NotMergeable, match=r"^0: Louder has a forward\(\) of its own and the"):
        hydra_peft.merge(model)
