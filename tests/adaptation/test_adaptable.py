"""Models that cannot be adapted are refused in one sentence, and left as they were."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import hydra_peft
from hydra_peft import LowRankLinear, UserError
from hydra_peft.methods import Method
from hydra_peft.methods.lora import Lora


class Tied(nn.Module):
    """An embedding whose weight is the head's too, as in language models."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 6)
        self.body = nn.Linear(6, 6)
        self.head = nn.Linear(6, 10, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.body(self.embed(tokens))))


class PackedLinear(nn.Linear):
    """A linear layer with two 4-bit values in a byte, as bitsandbytes stores it."""

    def __init__(self) -> None:
        super().__init__(8, 4)
        self.weight = nn.Parameter(torch.zeros(16, 1, dtype=torch.uint8), requires_grad=False)


def _quantised(dtype: torch.dtype) -> nn.Module:
    layer = nn.Linear(4, 4)
    layer.weight = nn.Parameter(torch.zeros(4, 4).to(dtype), requires_grad=False)
    return layer


class Packed(nn.Module):
    """What torch.ao's quantised modules have in their state dict."""

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[prefix + "packed"] = (1, 2)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (PackedLinear, r"0: a PackedLinear with a Parameter of torch\.uint8 and shape \(16, 1\)"),
        (lambda: _quantised(torch.int8), r"0: a Linear with .* of torch\.int8"),
        (lambda: _quantised(torch.float8_e4m3fn), "of torch.float8_e4m3fn"),
        (lambda: nn.LazyLinear(4), "'0.weight' has no shape yet"),
        (lambda: nn.Sequential(nn.Linear(4, 4), Packed()), "'0.1.packed' .* no plain tensor"),
    ],
)
def test_lazy_and_quantised_layers(layer: Callable[[], nn.Module], message: str) -> None:
    model = nn.Sequential(layer(), nn.Linear(4, 2))
    before = [p.requires_grad for p in model.parameters()]
    with pytest.raises(UserError, match=message):
        hydra_peft.inject(model, "lora", targets=["0"], rank=1, bias=False, head="1")
    assert [p.requires_grad for p in model.parameters()] == before


def test_a_layer_adapted_alone_is_checked_too() -> None:
    with pytest.raises(UserError, match="PackedLinear"):
        LowRankLinear(PackedLinear(), rank_parallel=1)
    with pytest.raises(UserError, match="pass one batch through the model first"):
        LowRankLinear(nn.LazyLinear(4), rank_parallel=1)


def test_a_lazy_model_that_has_seen_a_batch_is_adapted() -> None:
    model = nn.Sequential(nn.LazyLinear(4), nn.LazyLinear(2))
    model(torch.randn(1, 3))
    hydra_peft.inject(model, "lora", targets=["0"], rank=1, head="1")
    assert hydra_peft.count_parameters(model).adapter == 1 * (3 + 4) + 1 + 4


@pytest.mark.parametrize("dtype", [torch.int8, torch.float8_e4m3fn])
def test_a_quantised_head(dtype: torch.dtype) -> None:
    model = nn.Sequential(nn.Linear(4, 4), _quantised(dtype))
    with pytest.raises(UserError, match=rf"'1\.weight' of the head has dtype {dtype}"):
        hydra_peft.inject(model, "lora", targets=["0"], rank=1, head="1")


def test_a_head_tied_to_the_backbone_is_refused_unless_all_is_trained(tmp_path: Path) -> None:
    model = Tied()
    for method in ("lora", "linear"):
        options = {"targets": ["body"], "rank": 1} if method == "lora" else {}
        with pytest.raises(UserError, match=r"'head\.weight' is tied to 'embed\.weight'"):
            hydra_peft.inject(model, method, **options)
    assert all(p.requires_grad for p in model.parameters())

    frozen = copy.deepcopy(model)
    hydra_peft.inject(frozen, "lora", targets=["body"], rank=1, head=())
    assert not frozen.head.weight.requires_grad

    full = copy.deepcopy(model)
    hydra_peft.inject(full, "full")
    counts = hydra_peft.count_parameters(full)
    assert (counts.adapter, counts.head, counts.total) == (6 * 6 + 6, 60, 6 * 6 + 6 + 60)
    nn.init.normal_(full.embed.weight)
    hydra_peft.save_adapter(full, tmp_path)
    hydra_peft.load_adapter(model, tmp_path)
    tokens = torch.arange(10)
    assert torch.equal(model(tokens), full(tokens))


def test_a_head_with_a_copy_of_its_own_is_trained() -> None:
    model = Tied()
    model.head.weight = nn.Parameter(model.embed.weight.detach().clone())
    hydra_peft.inject(model, "linear")
    assert hydra_peft.count_parameters(model).head == 60
    assert not model.embed.weight.requires_grad


class Boaster(Method):
    """A method that names a layer and adapts none."""

    name = "boaster"

    def apply(self, model: nn.Module, head: tuple[str, ...]) -> list[str]:  # noqa: ARG002
        return ["blocks.0.mlp.fc2"]


def test_a_method_that_names_a_layer_without_an_adapter(tiny: nn.Module) -> None:
    with pytest.raises(UserError, match=r"says that it adapted 'blocks\.0\.mlp\.fc2', where no"):
        hydra_peft.inject(tiny, Boaster)
    assert all(p.requires_grad for p in tiny.parameters())


class Silent(Method):
    """A method that says nothing of what it did."""

    name = "silent"

    def apply(self, model: nn.Module, head: tuple[str, ...]) -> None:  # type: ignore[override]
        pass


@dataclasses.dataclass(frozen=True)
class Demanding(Silent):
    """A method with an option that has no usual value."""

    width: int


def test_methods_that_lack_something(tiny: nn.Module) -> None:
    with pytest.raises(UserError, match="'apply' of method 'silent' returned None"):
        hydra_peft.inject(tiny, Silent)
    with pytest.raises(UserError, match="'silent' has no value for its option 'width'"):
        hydra_peft.inject(tiny, Demanding)


class Beside(nn.Module):
    """A layer with a branch, which is no adapter."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base, self.up = base, nn.Linear(base.in_features, base.out_features, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.base(x) + self.up(x)


class Plain(Method):
    """A method that puts in what could not be told from the backbone."""

    name = "plain"

    def apply(self, model: nn.Module, head: tuple[str, ...]) -> list[str]:  # noqa: ARG002
        model.blocks[0]["mlp"]["fc2"] = Beside(model.blocks[0]["mlp"]["fc2"])
        return []


class Token(Method):
    """A method that gives a model a parameter of its own."""

    name = "token"

    def apply(self, model: nn.Module, head: tuple[str, ...]) -> list[str]:  # noqa: ARG002
        model.token = nn.Parameter(torch.zeros(3))
        return []


class Shrinker(Method):
    """A method that takes a part away."""

    name = "shrinker"

    def apply(self, model: nn.Module, head: tuple[str, ...]) -> list[str]:  # noqa: ARG002
        model.blocks[1]["mlp"]["fc2"].bias = None
        return []


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (Plain, r"'blocks\.0\.mlp\.fc2\.base\.weight' is new; .* is to be an Adapter"),
        (Token, "'token' is new"),
        (Shrinker, r"'blocks\.1\.mlp\.fc2\.bias' is gone"),
    ],
)
def test_a_method_that_changes_the_backbone(
    tiny: nn.Module, method: type[Method], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        hydra_peft.inject(tiny, method)


class Growing(Method):
    """A method that trains all, and what it adds."""

    name = "growing"
    trains_backbone = True

    def apply(self, model: nn.Module, head: tuple[str, ...]) -> list[str]:  # noqa: ARG002
        model.requires_grad_(True)
        model.blocks[0]["extra"] = nn.LayerNorm(12)
        return []


def test_a_method_that_trains_all_and_adds_a_part(tiny: nn.Module) -> None:
    with pytest.raises(UserError, match=r"'blocks\.0\.extra\.weight' is new"):
        hydra_peft.inject(tiny, Growing)


class Stateful(LowRankLinear):
    """An adapter that keeps something beside tensors."""

    def get_extra_state(self) -> dict[str, int]:
        return {"calls": 3}

    def set_extra_state(self, state: object) -> None:
        pass


class Keeping(Method):
    """A method whose adapter keeps something beside tensors."""

    name = "keeping"

    def apply(self, model: nn.Module, head: tuple[str, ...]) -> list[str]:  # noqa: ARG002
        model.blocks[0]["mlp"]["fc2"] = Stateful(model.blocks[0]["mlp"]["fc2"], rank_parallel=2)
        return ["blocks.0.mlp.fc2"]


def test_an_adapter_of_ones_own_with_extra_state(tiny: nn.Module, tmp_path: Path) -> None:
    fresh = copy.deepcopy(tiny)
    hydra_peft.inject(tiny, Keeping)
    nn.init.normal_(tiny.blocks[0]["mlp"]["fc2"].parallel.up.weight)
    hydra_peft.save_adapter(tiny, tmp_path)
    hydra_peft.load_adapter(fresh, tmp_path, method=Keeping)
    x = torch.randn(2, 12)
    assert torch.equal(fresh(x), tiny(x))


class Counting(nn.Linear):
    """A layer that keeps something beside tensors."""

    def get_extra_state(self) -> dict[str, int]:
        return {"calls": 3}

    def set_extra_state(self, state: object) -> None:
        pass


@pytest.mark.parametrize(("method", "told"), [("lora", False), ("full", True)])
@pytest.mark.parametrize("where", ["0", "2"])
def test_extra_state_is_left_alone_and_told_where_it_is_of_what_is_saved(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, where: str, method: str, told: bool
) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2))
    model.set_submodule(where, Counting(4, 2 if where == "2" else 4))
    fresh = copy.deepcopy(model)
    options = {} if method == "full" else {"targets": ["1"]}
    hydra_peft.inject(model, method, head="2", **options)
    hydra_peft.save_adapter(model, tmp_path)
    said = [f"'{where}._extra_state' is no tensor" in line for line in caplog.messages]
    assert said == [True] * (told or where == "2")
    hydra_peft.load_adapter(fresh, tmp_path)
    x = torch.randn(3, 4)
    assert torch.equal(fresh(x), model(x))


@pytest.mark.parametrize("method", ["lora", "dora", "hydra", "ssf"])
def test_extra_state_of_an_adapted_layer(tmp_path: Path, method: str) -> None:
    model = nn.Sequential(Counting(4, 4), nn.Linear(4, 2))
    fresh = copy.deepcopy(model)
    hydra_peft.inject(model, method, targets=["0"], head="1")
    hydra_peft.save_adapter(model, tmp_path)
    hydra_peft.load_adapter(fresh, tmp_path)
    hydra_peft.merge(fresh)
    x = torch.randn(3, 4)
    torch.testing.assert_close(fresh(x), model(x))


class Halting(Lora):
    """A method that adapts its layers and is stopped then."""

    def apply(self, model: nn.Module, head: tuple[str, ...]) -> list[str]:
        super().apply(model, head)
        raise KeyboardInterrupt


def test_a_method_that_is_stopped_leaves_the_model_as_it_was(tiny: nn.Module) -> None:
    before = dict(tiny.named_modules())
    with pytest.raises(KeyboardInterrupt):
        hydra_peft.inject(tiny, Halting(rank=1))
    assert dict(tiny.named_modules()) == before
    assert all(p.requires_grad for p in tiny.parameters())
    hydra_peft.inject(tiny, Lora(rank=1))


@pytest.mark.parametrize("method", [3, None, object(), nn.Linear, dict, Method])
def test_what_is_no_method(tiny: nn.Module, method: object) -> None:
    with pytest.raises(UserError, match="is no method"):
        hydra_peft.inject(tiny, method)  # type: ignore[arg-type]


def test_a_model_made_in_inference_mode(tiny: nn.Module) -> None:
    with torch.inference_mode():
        made = copy.deepcopy(tiny)
    with pytest.raises(UserError, match=r"'blocks\..*' was made in torch\.inference_mode\(\)"):
        hydra_peft.inject(made, "lora")
    assert not vars(made).keys() - vars(tiny).keys()


@pytest.mark.parametrize(
    ("base", "options", "message"),
    [
        (nn.Conv2d(1, 1, 1), {"rank_parallel": 1}, r"a Conv2d is no torch\.nn\.Linear"),
        (None, {"rank_parallel": 1}, r"a NoneType is no torch\.nn\.Linear"),
        (nn.Linear(4, 4), {"rank_parallel": 1.5}, "rank 1.5 of the parallel branch"),
        (nn.Linear(4, 4), {"rank_sequential": "1"}, "rank '1' of the sequential branch"),
        (nn.Linear(4, 4), {"rank_parallel": 1, "scale": float("nan")}, "scale=nan is not a finite"),
        (nn.Linear(4, 4), {"rank_parallel": 1, "scale": "2"}, "scale='2' is not a finite"),
        (nn.Linear(4, 4), {"rank_parallel": 1, "dropout": "x"}, "dropout=x is not a probability"),
    ],
)
def test_a_layer_adapted_alone_says_what_does_not_fit(
    base: nn.Module, options: dict, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        LowRankLinear(base, **options)


def test_a_name_that_no_file_holds_is_refused_before_anything_is_changed() -> None:
    model = nn.Sequential()
    model.add_module("a\ud800", nn.Linear(4, 4))
    model.add_module("head", nn.Linear(4, 2))
    with pytest.raises(UserError, match=r"'a\\ud800\.weight' .* a lone surrogate"):
        hydra_peft.inject(model, "lora", targets=["a*"], rank=2)
    assert type(model[0]) is nn.Linear


@pytest.mark.parametrize(
    ("home", "package"),
    [
        ("peft.tuners.lora.layer", "peft"),
        ("loralib.layers", "loralib"),
        ("adapters.methods.lora", "adapters"),
        ("adapters", None),  # anybody's
        ("transformers.integrations.peft", None),
    ],
)
def test_adapters_of_other_packages_are_not_taken_for_the_backbone(
    tiny: nn.Module, home: str, package: str | None
) -> None:
    kind = type("Linear", (nn.Linear,), {"__module__": home})
    tiny.blocks[0]["attn"]["proj"] = type("Own", (kind,), {})(12, 12)
    if package is None:
        hydra_peft.inject(tiny, "lora", targets=["mlp.fc1"], rank=1)
        return
    message = f"adapters of the package '{package}' at 'blocks.0.attn.proj', .* merge them first"
    with pytest.raises(UserError, match=message):
        hydra_peft.inject(tiny, "lora", targets=["mlp.fc1"], rank=1)
