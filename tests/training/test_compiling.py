"""Which modules are compiled, and that they compute the same."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

import hydra_peft
from hydra_peft.backbones.architectures import build_architecture
from hydra_peft.training import compiling
from hydra_peft.training.compiling import compile_blocks, pays


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """Compile without kernels, which need a C++ compiler; list the options of each call."""
    calls: list[dict[str, Any]] = []
    original: Callable[..., None] = nn.Module.compile

    def compile_module(module: nn.Module, **options: Any) -> None:
        calls.append(options)
        original(module, fullgraph=True, backend="aot_eager")

    monkeypatch.setattr(nn.Module, "compile", compile_module)
    torch._dynamo.reset()
    counters.clear()
    yield calls
    torch._dynamo.reset()


def adapted(scale: float = 1.0, dropout: float = 0.0, classes: int = 3) -> nn.Module:
    torch.manual_seed(0)
    model = build_architecture("vit_mini", {"depth": 2})
    model.reset_classifier(classes)
    hydra_peft.inject(model, "hydra", scale=scale, dropout=dropout)
    for parameter in model.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.02)
    return model.train()


def step(model: nn.Module, batch: int = 4) -> list[torch.Tensor]:
    torch.manual_seed(1)
    out = model(torch.randn(batch, 3, 32, 32))
    out.square().sum().backward()
    return [out, *(p.grad for p in model.parameters() if p.requires_grad)]


def test_same_outputs_and_gradients(compiled: list[dict[str, Any]]) -> None:
    expected = step(adapted())
    model = adapted()
    names = set(model.state_dict())
    assert compile_blocks(model, cuda_graph=False) == "2 blocks of blocks"
    assert len(compiled) == 2
    assert set(model.state_dict()) == names
    for ours, their in zip(step(model), expected, strict=True):
        torch.testing.assert_close(ours, their, rtol=1e-4, atol=1e-5)


@pytest.mark.long
@pytest.mark.usefixtures("compiled")
def test_the_next_runs_find_the_graphs_there() -> None:
    def graphs(model: nn.Module) -> int:
        compile_blocks(model, cuda_graph=False)
        for batch in (4, 3, 2):
            step(model, batch)
        return counters["stats"]["unique_graphs"]

    graphs(adapted())
    seen = graphs(adapted(scale=2.0))
    assert seen <= 8
    assert graphs(adapted(scale=3.0, classes=7)) == seen
    assert graphs(adapted(scale=4.5, classes=5)) == seen


def test_cuda_graphs_are_asked_of_torch(compiled: list[dict[str, Any]]) -> None:
    compile_blocks(adapted(), cuda_graph=True)
    assert compiled == [{"mode": "reduce-overhead", "dynamic": False}] * 2


@pytest.mark.parametrize("cuda_graph", [False, True])
def test_one_pass_through_all_blocks_is_one_of_cuda_graphs(
    cuda_graph: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[None] = []
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: passes.append(None))
    monkeypatch.setattr(nn.Module, "compile", lambda *_, **__: None)  # blocks stay as they are
    model = adapted()
    compile_blocks(model, cuda_graph=cuda_graph)
    step(model)
    with torch.no_grad():
        model.eval()(torch.randn(4, 3, 32, 32))
    assert len(passes) == 2 * cuda_graph


def test_a_model_without_blocks_is_compiled_whole(compiled: list[dict[str, Any]]) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    assert compile_blocks(model, cuda_graph=False) == "the whole model"
    assert len(compiled) == 1


def test_no_compiling_by_default_on_a_cpu() -> None:
    assert not pays(torch.device("cpu"))


def test_no_compiling_by_default_without_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"triton": True, "compiler": True, "capability": (9, 0)}
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: found["capability"])
    monkeypatch.setattr(compiling, "find_spec", lambda _: object() if found["triton"] else None)
    monkeypatch.setattr(shutil, "which", lambda _: "/bin/cc" if found["compiler"] else None)
    assert pays(torch.device("cuda"))
    for key, lacking in (("triton", False), ("compiler", False), ("capability", (6, 1))):
        with monkeypatch.context() as patch:
            patch.setitem(found, key, lacking)
            assert not pays(torch.device("cuda"))
