"""AdapterDrop: which layers have an adapter, in training and at evaluation."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable

import pytest
import torch
from plain_block import block, bottleneck, scaled_block
from stock_vit import small_vit, vit_b16
from torch import Tensor, nn

import hydra_peft
from hydra_peft import UserError
from hydra_peft.adapters.bottleneck import Bottleneck
from hydra_peft.adapters.droppable import drop_layers, droppable
from hydra_peft.methods import build_method
from hydra_peft.methods.adapterdrop import AdapterDrop

Fill = Callable[[nn.Module], None]
LAYERS = 3


@pytest.fixture
def fresh() -> nn.Sequential:
    """Three blocks."""
    return nn.Sequential(*(scaled_block()[0] for _ in range(LAYERS)))


def plain(fresh: nn.Sequential, adapted: nn.Module, x: Tensor, first: int) -> Tensor:
    """Compute the blocks, with the adapters of ``adapted`` from layer ``first`` on."""
    for index, layer in enumerate(fresh):
        part = adapted.get_submodule(f"{index}.drop_path2")
        own = dict(part.branch.named_parameters()) if index >= first else {}

        def branch(m: Tensor, own: dict[str, nn.Parameter] = own) -> Tensor:
            return bottleneck(own, m, torch.relu) if own else torch.zeros_like(m)

        x = block(dict(layer.named_parameters()), x, "intermediate", branch)
    return x


@pytest.mark.parametrize("drop", [0, 1, 2])
def test_specialised_the_first_layers_have_no_adapter(
    fresh: nn.Sequential, drop: int, randomize: Fill
) -> None:
    model = copy.deepcopy(fresh)
    done = hydra_peft.inject(model, "adapterdrop", head=(), rank=3, drop=drop)
    assert list(done.layers) == [f"{index}.drop_path2" for index in range(drop, LAYERS)]
    randomize(model)
    x = torch.randn(2, 5, 12, dtype=torch.float64)
    torch.testing.assert_close(model(x), plain(fresh, model, x, drop), rtol=0, atol=1e-12)
    done.method.before_step(model, 0, torch.Generator())  # nothing to draw
    with pytest.raises(UserError, match=r"takes method=adapterdrop with method\.drop=robust"):
        drop_layers(model, 1)


def test_robust_each_step_leaves_out_the_first_layers(
    fresh: nn.Sequential, randomize: Fill
) -> None:
    model = copy.deepcopy(fresh)
    method = hydra_peft.inject(model, "adapterdrop", head=(), rank=3).method
    randomize(model)
    x = torch.randn(2, 5, 12, dtype=torch.float64)
    whole = plain(fresh, model, x, 0)
    counts = Counter[int]()
    random = torch.Generator().manual_seed(3)
    for step in range(60):
        hydra_peft.set_training_mode(model)
        model.zero_grad()
        method.before_step(model, step, random)
        out = model(x)
        out.sum().backward()
        trained = [module for module in model.modules() if isinstance(module, Bottleneck)]
        dropped = [all(p.grad is None for p in branch.parameters()) for branch in trained]
        first = dropped.count(True)
        assert dropped == [index < first for index in range(LAYERS)]
        if not counts[first]:
            torch.testing.assert_close(out, plain(fresh, model, x, first), rtol=0, atol=1e-12)
        counts[first] += 1
        if step < 3:  # what training leaves out evaluation has
            torch.testing.assert_close(model.eval()(x), whole, rtol=0, atol=1e-12)
    assert sorted(counts) == [0, 1, 2]  # never all of them
    assert min(counts.values()) >= 12  # of 20 expected


def test_a_robust_model_runs_with_any_number(fresh: nn.Sequential, randomize: Fill) -> None:
    model = copy.deepcopy(fresh)
    hydra_peft.inject(model, "adapterdrop", head=(), rank=3)
    randomize(model)
    model.eval()
    x = torch.randn(2, 5, 12, dtype=torch.float64)
    for count in (2, 0, 3, 1):
        drop_layers(model, count)
        torch.testing.assert_close(model(x), plain(fresh, model, x, count), rtol=0, atol=1e-12)
    drop_layers(model, 0)
    assert not any(adapter.dropped_in_evaluation for adapter in droppable(model))
    for wrong in (-1, 4):
        with pytest.raises(UserError, match=rf"drop={wrong}: .* 3 layers, .* from 0 to 3"):
            drop_layers(model, wrong)


@pytest.mark.parametrize(
    ("options", "count"),
    [({}, 304_320), ({"rank": 48}, 894_528), ({"drop": 0}, 304_320), ({"drop": 5}, 177_520)],
)
def test_counts(options: dict[str, object], count: int) -> None:
    model = vit_b16()
    hydra_peft.inject(model, "adapterdrop", **options)
    assert hydra_peft.count_parameters(model).adapter == count


def test_a_model_without_a_layer_left_is_refused() -> None:
    model = small_vit()
    keys = list(model.state_dict())
    with pytest.raises(UserError, match=r"method.drop=2 leaves no adapter in the 2 layers"):
        hydra_peft.inject(model, "adapterdrop", drop=2)
    assert list(model.state_dict()) == keys


@pytest.mark.parametrize(
    ("drop", "sentence"),
    [
        ("robus", "drop 'robus' is unknown .did you mean 'robust'"),
        (-1, "drop=-1 is not allowed: it must be at least 0"),
        (1.5, r"option 'drop' of method 'adapterdrop' is 1.5: expected int \| str"),
    ],
)
def test_mistakes(drop: object, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        build_method("adapterdrop", drop=drop)


def test_labels_and_the_command_line(compose_train: Callable[..., object]) -> None:
    from hydra_peft.config.check import check_config

    assert build_method("adapterdrop").label == "adapterdrop r=16 robust"
    method = check_config(compose_train("method=adapterdrop", "method.drop=3")).method
    assert method == AdapterDrop(drop=3)
    assert method.label == "adapterdrop r=16 m=3"
    with pytest.raises(UserError, match="drop=-2 is not allowed: it must be at least 0"):
        check_config(compose_train("method=adapterdrop", "method.drop=-2"))
