"""Each method of the package on a small vision transformer, with what a user does to a model."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from stock_vit import images, small_vit
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional as F

import hydra_peft
from hydra_peft.adaptation.merging import merge, unmerge
from hydra_peft.adaptation.record import adaptation
from hydra_peft.adapters.base import Adapter, NotMergeable
from hydra_peft.methods import method_class, method_names

#: methods that no plain backbone computes, and the reason that merging gives
UNMERGEABLE: dict[str, str] = {
    "noah": "learned tokens lengthen the sequence",
    "vpt_shallow": "learned tokens lengthen the sequence",
    "vpt_deep": "learned tokens lengthen the sequence",
    "adapter": "the activation of its adapter cannot be written into",
    "adapter_plus": "the activation of its adapter cannot be written into",
    "adapterdrop": "the activation of its adapter cannot be written into",
    "adaptformer": "the activation of its adapter cannot be written into",
    "compacter": "the activation of its adapter cannot be written into",
}
#: options of methods whose defaults do not fit a model as small as this
FITTING: dict[str, dict[str, Any]] = {"kadaptation": {"phm_dim": 8}}
#: options that change what a method computes and where, beside its defaults
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "lora q v": ("lora", {"targets": ["qkv"], "parts": ["q", "v"], "dropout_at": "input"}),
    "lora pissa": ("lora", {"targets": ["qkv"], "init": "pissa", "dropout": 0.1}),
    "adapter houlsby": ("adapter", {"position": "houlsby", "norm": True, "bias": False}),
    "adapter pre": ("adapter", {"position": "pre", "scaling": "learned"}),
    "adapter parallel": ("adapter", {"position": "parallel", "zero_up": True}),
    "compacter frozen": ("compacter", {"rule": "frozen", "norm": True}),
}
CASES = {**{name: (name, FITTING.get(name, {})) for name in method_names()}, **VARIANTS}


@pytest.fixture(scope="module")
def stock() -> VisionTransformer:
    return small_vit()


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """A method's name, and options."""
    return CASES[request.param]


@pytest.fixture
def name(case: tuple[str, dict[str, Any]]) -> str:
    return case[0]


@pytest.fixture
def adapted(stock: VisionTransformer, case: tuple[str, dict[str, Any]]) -> nn.Module:
    """A copy that carries the method."""
    model = copy.deepcopy(stock)
    hydra_peft.inject(model, case[0], **case[1])
    return model


@pytest.fixture
def trained(adapted: nn.Module, randomize: Callable[[nn.Module], None]) -> nn.Module:
    """The same with values as after training."""
    before = {n: p.detach().clone() for n, p in adapted.named_parameters()}
    randomize(adapted)
    with torch.no_grad():  # trained values of the backbone's own stay near what they were
        for n, p in adapted.named_parameters():
            p.copy_(before[n] + 0.3 * p if p.requires_grad else p)
    return adapted


def steps(model: nn.Module, count: int) -> None:
    dtype = next(model.parameters()).dtype
    hydra_peft.set_training_mode(model)
    optimizer = torch.optim.SGD(hydra_peft.trainable_parameters(model), lr=0.05)
    for _ in range(count):
        optimizer.zero_grad()
        F.cross_entropy(model(images(dtype=dtype)), torch.tensor([0, 1, 2])).backward()
        optimizer.step()
    model.eval()


def test_what_is_trained_moves_and_nothing_else(adapted: nn.Module, name: str) -> None:
    adapted.double()  # in which small steps show
    before = {n: t.detach().clone() for n, t in adapted.state_dict().items()}
    trained = hydra_peft.trainable_parameters(adapted)
    names = {*trained.adapter, *trained.head}
    names.update(*adaptation(adapted).shared)  # under each of their names
    steps(adapted, 2)  # those behind a zero up-projection move from the second step on
    after = adapted.state_dict()
    still = [n for n in names if torch.equal(before[n], after[n])]
    assert not still, f"these did not move in two steps: {still}"
    moved = [n for n in before if n not in names and not torch.equal(before[n], after[n])]
    if not method_class(name).trains_backbone:
        assert not moved


def test_counts(adapted: nn.Module) -> None:
    counts = hydra_peft.count_parameters(adapted)
    trained = hydra_peft.trainable_parameters(adapted)
    assert counts.adapter == sum(p.numel() for p in trained.adapter.values())
    assert counts.head == 3 * 24 + 3
    assert counts.total == sum(p.numel() for p in adapted.parameters())


def test_saved_and_loaded(stock: VisionTransformer, trained: nn.Module, tmp_path: Path) -> None:
    hydra_peft.save_adapter(trained, tmp_path)
    fresh = copy.deepcopy(stock)
    hydra_peft.load_adapter(fresh, tmp_path)
    torch.testing.assert_close(fresh.eval()(images()), trained(images()), rtol=0, atol=0)
    assert hydra_peft.count_parameters(fresh) == hydra_peft.count_parameters(trained)


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_merged_and_unmerged(
    stock: VisionTransformer, trained: nn.Module, name: str, dtype: torch.dtype, atol: float
) -> None:
    trained.to(dtype)
    expected = trained(images(dtype=dtype))
    state = {n: t.clone() for n, t in trained.state_dict().items()}
    if name in UNMERGEABLE:
        with pytest.raises(NotMergeable, match=UNMERGEABLE[name]):
            merge(trained)
        torch.testing.assert_close(trained(images(dtype=dtype)), expected, rtol=0, atol=0)
        return
    merge(trained)
    assert list(trained.state_dict()) == list(stock.state_dict())
    torch.testing.assert_close(trained(images(dtype=dtype)), expected, rtol=0, atol=atol)
    unmerge(trained)
    for n, tensor in trained.state_dict().items():
        assert torch.equal(tensor, state[n]), n


def test_copied(trained: nn.Module) -> None:
    copied = copy.deepcopy(trained)
    expected = trained(images())
    torch.testing.assert_close(copied(images()), expected, rtol=0, atol=0)
    steps(copied, 1)
    torch.testing.assert_close(trained(images()), expected, rtol=0, atol=0)


def test_in_bfloat16_under_autocast(trained: nn.Module) -> None:
    expected = trained(images())
    with torch.autocast("cpu", torch.bfloat16):
        found = trained(images())
        F.cross_entropy(found, torch.tensor([0, 1, 2])).backward()
    scale = expected.abs().max().item()
    torch.testing.assert_close(found.float(), expected, rtol=0, atol=0.05 * scale + 0.05)
    for parameter in hydra_peft.trainable_parameters(trained):
        assert parameter.grad is not None
        assert parameter.grad.dtype == parameter.dtype


def test_compiled_without_a_break(trained: nn.Module) -> None:
    expected = trained(images())
    torch._dynamo.reset()
    compiled = torch.compile(trained, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(images()), expected, rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning", "ignore::torch.jit.TracerWarning")
def test_traced_by_torch(trained: nn.Module, name: str) -> None:
    for block in trained.modules():  # its fused attention has no forward-mode derivative
        if hasattr(block, "fused_attn"):
            block.fused_attn = False
    x, fewer = images(), images()[:2]
    expected = trained(fewer)
    calls: list[Callable[[Tensor], Tensor]] = [torch.jit.trace(trained, x, check_trace=False)]
    if name != "dora":  # it asks weights for their device and dtype, which torch.fx cannot
        calls.append(torch.fx.symbolic_trace(trained))
    for call in calls:
        torch.testing.assert_close(call(fewer), expected, rtol=0, atol=1e-5)
    change = torch.randn_like(fewer)
    (gradient,) = torch.autograd.grad(trained(fewer.requires_grad_()).sum(), fewer)
    _, forward = torch.func.jvp(trained, (fewer.detach(),), (change,))
    torch.testing.assert_close(forward.sum(), (gradient * change).sum(), rtol=1e-3, atol=1e-4)


def test_hooks_on_frozen_layers_are_called(trained: nn.Module) -> None:
    frozen = [m.base for m in trained.modules() if isinstance(m, Adapter)]
    bases = [base for base in frozen if isinstance(base, nn.Module)]
    expected, seen = trained(images()), []
    for base in bases:
        base.register_forward_hook(lambda module, _inputs, _out: seen.append(module))
    torch.testing.assert_close(trained(images()), expected, rtol=0, atol=1e-5)
    assert {id(base) for base in bases} == {id(module) for module in seen}


def test_with_gradient_checkpointing(trained: nn.Module) -> None:
    def gradients(model: nn.Module) -> list[Tensor]:
        F.cross_entropy(model(images()), torch.tensor([0, 1, 2])).backward()
        return [p.grad for p in hydra_peft.trainable_parameters(model) if p.grad is not None]

    twin = copy.deepcopy(trained)
    twin.set_grad_checkpointing()  # type: ignore[operator]
    for own, other in zip(gradients(trained), gradients(twin), strict=True):
        torch.testing.assert_close(own, other, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", method_names())
def test_defaults_are_those_of_its_yaml(name: str, compose_train: Callable[..., object]) -> None:
    from hydra_peft.config.check import check_config

    config = check_config(compose_train(f"method={name}"))
    built = hydra_peft.methods.build_method(name)
    assert config.method.label == built.label
    assert config.method.name == name
