"""AdaptFormer against its formula and the published count."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import timm
import torch
from plain_block import block, bottleneck, own_weights, scaled_block
from stock_vit import vit_b16
from timm.models.vision_transformer import Block
from torch import nn

import hydra_peft
from hydra_peft.adapters.bottleneck import Bottleneck


@pytest.mark.parametrize("options", [{}, {"norm": True, "scale": 2.0}])
def test_a_block_computes_the_formula(
    options: dict[str, Any], randomize: Callable[[nn.Module], None]
) -> None:
    fresh = scaled_block()
    model = copy.deepcopy(fresh)
    hydra_peft.inject(model, "adaptformer", head=(), rank=3, **options)
    randomize(model)
    (branch,) = [module for module in model.modules() if isinstance(module, Bottleneck)]
    own = own_weights(branch)
    x = torch.randn(2, 5, 12, dtype=torch.float64)
    out = model(x)
    expected = block(
        dict(fresh[0].named_parameters()),
        x,
        "parallel",
        lambda y: bottleneck(own, y, torch.relu, options.get("scale", 0.1)),
    )
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)
    out.pow(2).sum().backward()
    expected.pow(2).sum().backward()
    for name, parameter in branch.named_parameters():
        torch.testing.assert_close(parameter.grad, own[name].grad, rtol=0, atol=1e-10)


def test_it_starts_as_the_backbone_with_a_kaiming_down_projection() -> None:
    model = nn.Sequential(Block(400, 2))
    before = model(x := torch.randn(1, 3, 400))
    hydra_peft.inject(model, "adaptformer", head=(), rank=50)
    torch.testing.assert_close(model(x), before, rtol=0, atol=0)
    (branch,) = [module for module in model.modules() if isinstance(module, Bottleneck)]
    weight = branch.down.weight.detach()
    assert weight.abs().max() <= 400**-0.5
    assert weight.std().item() == pytest.approx((3 * 400) ** -0.5, rel=0.02)
    assert branch.dropout.p == 0.1


def test_its_branch_outlives_a_dropped_sublayer(randomize: Callable[[nn.Module], None]) -> None:
    model = nn.Sequential(Block(12, 2, drop_path=0.9)).double()
    hydra_peft.inject(model, "adaptformer", head=(), dropout=0.0)
    randomize(model)
    hydra_peft.set_training_mode(model)
    x = torch.randn(64, 5, 12, dtype=torch.float64)
    (branch,) = [module for module in model.modules() if isinstance(module, Bottleneck)]
    alone = (model(x) - x - branch(x)).flatten(1).abs().amax(1) < 1e-12
    assert 32 < alone.sum() < 64  # 0.81 of 64: both sublayers were dropped


@pytest.mark.parametrize(("rank", "count"), [(8, 156_768), (64, 12 * (2 * 768 * 64 + 64 + 768))])
def test_counts(rank: int, count: int) -> None:
    model = vit_b16()
    hydra_peft.inject(model, "adaptformer", rank=rank)
    assert hydra_peft.count_parameters(model).adapter == count


def test_beside_a_sequential_method_both_changes_are_added(
    randomize: Callable[[nn.Module], None],
) -> None:
    """The paper's example of branches: what AdaptFormer hands past SSF's norm arrives once."""
    fresh = scaled_block()
    model = copy.deepcopy(fresh)
    pair = {"parallel": "adaptformer", "sequential": "ssf"}
    hydra_peft.inject(model, "branches", head=(), **pair)
    randomize(model)
    (branch,) = [module for module in model.modules() if isinstance(module, Bottleneck)]
    x = torch.randn(2, 5, 12, dtype=torch.float64)
    out = model(x)
    seen: list[torch.Tensor] = []
    hook = branch.register_forward_hook(lambda _m, inputs, _out: seen.append(inputs[0]))
    model(x)
    hook.remove()
    assert len(seen) == 1
    added = branch(seen[0])
    for parameter in branch.parameters():
        nn.init.zeros_(parameter)
    torch.testing.assert_close(out, model(x) + added, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("adaptformer", {}),
        ("adapter", {"position": "pre"}),
        ("branches", {"parallel": "adaptformer", "sequential": "seqlora"}),
    ],
)
@pytest.mark.parametrize("compiled", [False, True])
def test_threads_that_call_one_model_do_not_meet(
    method: str, options: dict[str, Any], compiled: bool
) -> None:
    """As a server's do: each between the norm and the end of its MLP while another begins."""
    shape: dict[str, Any] = {"img_size": 32, "embed_dim": 24, "depth": 2, "num_heads": 2}
    model = timm.create_model("vit_tiny_patch16_224", num_classes=3, **shape)
    hydra_peft.inject(model, method, **options)
    for parameter in hydra_peft.trainable_parameters(model):
        parameter.data += 0.1 * torch.randn_like(parameter)
    model.eval().requires_grad_(False)
    inputs = [torch.randn(1, 3, 32, 32) for _ in range(2)]
    expected = [model(x) for x in inputs]
    meet = threading.Barrier(2, timeout=30)

    @torch.compiler.disable  # where the graph of a compiled model breaks
    def pause(_module: nn.Module, _inputs: Any) -> None:
        if threading.current_thread() is not threading.main_thread():
            meet.wait()

    model.blocks[0].mlp.register_forward_pre_hook(pause)  # both have read, neither has written
    call = torch.compile(model, backend="eager") if compiled else model
    call(inputs[0])
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(call, inputs))
    for own, right in zip(found, expected, strict=True):
        torch.testing.assert_close(own, right)
