"""Name patterns."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from torch import nn
from torch.nn.utils import parametrizations, prune

import hydra_peft
from hydra_peft.adapters.patterns import matches
from hydra_peft.adapters.targets import find_linear_layers
from hydra_peft.errors import UserError


@pytest.mark.parametrize(
    ("name", "pattern", "expected"),
    [
        ("blocks.0.attn.proj", "attn.proj", True),
        ("blocks.0.attn.proj", "proj", True),
        ("blocks.0.attn.proj", "blocks.0.attn.proj", True),
        ("blocks.0.attn.proj", "blocks.*.proj", True),
        ("blocks.10.attn.proj", "blocks.[0-5].attn.proj", False),
        ("blocks.0.attn.out_proj", "proj", False),
        ("blocks.0.attn.proj", "attn", False),
        ("attn.proj", "attn.proj", True),
        ("body.fc[1]", "fc[1]", True),
        ("body.fc1", "fc[1]", True),
        # what computes positions inside attention is no block's MLP
        ("blocks.0.attn.rel_pos.mlp.fc2", "mlp.fc2", False),
        ("blocks.0.attn.rel_pos.mlp.fc2", "mlp.fc[12]", False),
        ("shared_rel_pos.mlp", "mlp", False),
        ("blocks.0.attn.rel_pos.mlp.fc2", "rel_pos.mlp.fc2", True),
        ("model.blocks.0.attn.rel_pos.mlp.fc2", "blocks.0.*", True),
    ],
)
def test_matches(name: str, pattern: str, expected: bool) -> None:
    assert matches(name, pattern) is expected


def test_finds_layers_in_order_without_the_head(tiny: nn.Module) -> None:
    found = find_linear_layers(tiny, ["mlp.fc2", "attn.proj"], exclude=("head",))
    assert list(found) == [
        f"blocks.{i}.{name}" for i in range(2) for name in ("attn.proj", "mlp.fc2")
    ]
    assert "head" not in find_linear_layers(tiny, ["*"], exclude=("head",))


@pytest.mark.parametrize("pattern", ["first", "again.0"])
def test_a_shared_layer_is_found_by_each_of_its_names(pattern: str) -> None:
    layer = nn.Linear(4, 4)
    again = nn.Sequential(layer, nn.ReLU())
    model = nn.ModuleDict({"first": layer, "again": again, "head": nn.Linear(4, 2)})
    assert list(find_linear_layers(model, [pattern])) == ["first"]
    assert hydra_peft.inject(model, "lora", targets=[pattern], rank=1).layers == ("first",)
    assert again[0] is model["first"]
    assert isinstance(again[0], hydra_peft.LowRankLinear)


def test_a_layer_that_stands_alone() -> None:
    with pytest.raises(UserError, match="this Linear stands alone"):
        hydra_peft.inject(nn.Linear(4, 4), "lora", targets=["*"])


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        (["attn.prj"], "near names: attn.proj"),
        (["norm"], r"'norm', a torch\.nn\..*LayerNorm, and only torch\.nn\.Linear can be adapted"),
        (["head"], "'head', part of the head, which is trained without an adapter"),
        ([], "not a list of name patterns"),
        ("attn.proj", "not a list of name patterns"),
    ],
)
def test_patterns_that_match_nothing(tiny: nn.Module, targets: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        find_linear_layers(tiny, targets, exclude=("head",))


@pytest.mark.parametrize(
    "change",
    [
        parametrizations.weight_norm,
        lambda layer: layer.register_forward_hook(lambda *_: None),
        lambda layer: layer.register_forward_pre_hook(lambda *_: None),
        lambda layer: layer.register_full_backward_hook(lambda *_: None),
        lambda layer: setattr(layer, "forward", lambda x: x),
        lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
    ],
)
def test_layers_that_would_lose_what_hangs_on_them_are_refused(
    tiny: nn.Module, change: Callable[[nn.Module], object]
) -> None:
    layer = tiny.get_submodule("blocks.1.attn.proj")
    change(layer)
    with pytest.raises(UserError, match=r"blocks\.1\.attn\.proj: .* remove them before inject"):
        hydra_peft.inject(tiny, "lora", targets=["attn.proj"], rank=1)
    assert tiny.get_submodule("blocks.1.attn.proj") is layer
