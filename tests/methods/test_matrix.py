"""Each method of the package on a small vision transformer, with what a user does to a model."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from covering import pairs
from stock_vit import images, small_vit
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint, create_selective_checkpoint_contexts

import hydra_peft
from hydra_peft.adaptation.record import adaptation
from hydra_peft.adapters.base import Adapter, NotMergeable
from hydra_peft.cli.abilities import MATRIX
from hydra_peft.methods import method_class, method_names
from hydra_peft.workshop.abilities import ABILITIES, FAMILIES, TEXT, Case

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
    "noah supernet": ("noah", {"search": "supernet"}),
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
    for shared in adaptation(adapted).shared:  # under each of their names
        names.update(shared if names & {*shared} else ())
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


@pytest.mark.parametrize("name", UNMERGEABLE)
def test_what_cannot_merge_says_why(stock: VisionTransformer, name: str) -> None:
    model = copy.deepcopy(stock)
    hydra_peft.inject(model, name)
    with pytest.raises(NotMergeable, match=UNMERGEABLE[name]):
        hydra_peft.merge(model)


def test_copied(trained: nn.Module) -> None:
    copied = copy.deepcopy(trained)
    expected = trained(images())
    torch.testing.assert_close(copied(images()), expected, rtol=0, atol=0)
    steps(copied, 1)
    torch.testing.assert_close(trained(images()), expected, rtol=0, atol=0)


def jit_trace(model: nn.Module) -> None:
    x, fewer = images(), images()[:2]
    traced = torch.jit.trace(model, x, check_trace=False)
    torch.testing.assert_close(traced(fewer), model(fewer), rtol=0, atol=1e-5)


def fx_trace(model: nn.Module) -> None:
    fewer = images()[:2]
    traced = torch.fx.symbolic_trace(model)
    torch.testing.assert_close(traced(fewer), model(fewer), rtol=0, atol=1e-5)


def forward_mode(model: nn.Module) -> None:
    called = partial(torch.func.functional_call, model)
    at: dict[str, Any] = {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}
    primals = (at, images()[:2])
    changes = ({n: torch.randn_like(p) for n, p in at.items()}, torch.randn_like(primals[1]))
    _, forward = torch.func.jvp(called, primals, changes)
    by_values, by_images = torch.func.grad(lambda *args: called(*args).sum(), argnums=(0, 1))(
        *primals
    )
    backward = (by_images * changes[1]).sum()
    backward += sum((by_values[n] * change).sum() for n, change in changes[0].items())
    torch.testing.assert_close(forward.sum(), backward, rtol=1e-3, atol=1e-4)


def functionalized(model: nn.Module) -> None:
    fewer = images()[:2]
    functional = torch.func.functionalize(model)
    torch.testing.assert_close(functional(fewer), model(fewer), rtol=0, atol=1e-5)


def selective_checkpoints(model: nn.Module) -> None:
    kept = [torch.ops.aten.mm.default, torch.ops.aten.addmm.default]
    contexts = partial(create_selective_checkpoint_contexts, kept)
    trained = hydra_peft.trainable_parameters(model)
    values = [*trained.adapter.values(), *trained.head.values()]
    expected = torch.autograd.grad(model(images()).square().sum(), values)
    out = checkpoint(model, images(), use_reentrant=False, context_fn=contexts)
    found = torch.autograd.grad(out.square().sum(), values)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def called_with_other_values(model: nn.Module) -> None:
    before = model(images())
    other = {n: p.detach() + 0.01 for n, p in model.named_parameters()}
    called = torch.func.functional_call(model, other, (images(),))
    torch.testing.assert_close(model(images()), before, rtol=0, atol=0)
    model.load_state_dict(other, strict=False)
    torch.testing.assert_close(called, model(images()), rtol=0, atol=1e-5)


#: what of torch's goes through a model's code in its own way
TRANSFORMS = {
    "jit": jit_trace,
    "fx": fx_trace,
    "jvp": forward_mode,
    "checkpoints": selective_checkpoints,
    "functions": functionalized,
    "call": called_with_other_values,
}


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize(("case", "transform"), pairs(CASES, TRANSFORMS), indirect=["case"])
def test_traced_by_torch(trained: nn.Module, name: str, transform: str) -> None:
    if (name, transform) == ("dora", "fx"):
        pytest.skip("dora asks weights for their device and dtype, which torch.fx cannot")
    for block in trained.modules():  # its fused attention has no forward-mode derivative
        if hasattr(block, "fused_attn"):
            block.fused_attn = False
    TRANSFORMS[transform](trained)


def test_hooks_on_frozen_layers_are_called(trained: nn.Module) -> None:
    frozen = [m.base for m in trained.modules() if isinstance(m, Adapter)]
    bases = [base for base in frozen if isinstance(base, nn.Module)]
    expected, seen = trained(images()), []
    for base in bases:
        base.register_forward_hook(lambda module, _inputs, _out: seen.append(module))
    torch.testing.assert_close(trained(images()), expected, rtol=0, atol=1e-5)
    assert {id(base) for base in bases} == {id(module) for module in seen}


#: one of each kind: branches, prompts, every operation; of variants there is one behind a module
COMPILED = ("hydra", "vpt_deep", "ssf")


#: that take longer, or are alike: a few of them for each method
SOME = (["bf16", "checkpointing", "resumes"], [*FAMILIES])


def tried() -> list[Any]:
    """Every ability of every method; compiling takes a second or two, and some stand for all."""
    names = method_names()
    rest = [one for one in ABILITIES if not any(one in some for some in SOME)]
    return [
        pytest.param(
            name,
            ability,
            marks=[pytest.mark.long] * (ability == "compiles whole" and name not in COMPILED),
        )
        for name in names
        for ability in rest
    ] + [pair for some in SOME for pair in pairs(names, some)]


@pytest.mark.parametrize(("name", "ability"), tried())
def test_abilities_are_those_of_the_page(root: Path, name: str, ability: str) -> None:
    if ability == TEXT:
        pytest.importorskip("transformers", reason="text encoders need hydra-peft[text]")
    assert ABILITIES[ability](Case(name)) == said(root, name, ability)


def tried_of_variants() -> list[Any]:
    """What a variant may lose; one, around a module, is compiled here."""
    compiled = ("adapter parallel",)
    return [
        pytest.param(
            variant,
            ability,
            marks=[pytest.mark.long] * (ability == "compiles whole" and variant not in compiled),
        )
        for variant in VARIANTS
        for ability in ("merges", "unmerges", "bf16", "compiles whole")
    ]


@pytest.mark.parametrize(("variant", "ability"), tried_of_variants())
def test_variants_can_what_their_method_can(root: Path, variant: str, ability: str) -> None:
    name, options = VARIANTS[variant]
    assert ABILITIES[ability](Case(name, options)) == said(root, name, ability)


def said(root: Path, name: str, ability: str) -> str:
    """Return what docs/methods.md says of one ability of the method called ``name``."""
    assert name in page(root), "not in docs/methods.md: python scripts/abilities.py writes it there"
    return page(root)[name][ability]


@cache
def page(root: Path) -> dict[str, dict[str, str]]:
    """Return the cells of the matrix in docs/methods.md by method and column."""
    found = MATRIX.search((root / "docs" / "methods.md").read_text())
    assert found
    head, _, *lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in found[0].splitlines()
    ]
    return {cells[0].strip("`"): dict(zip(head, cells, strict=True)) for cells in lines}


@pytest.mark.parametrize("name", method_names())
def test_defaults_are_those_of_its_yaml(name: str, compose_train: Callable[..., object]) -> None:
    from hydra_peft.config.check import check_config

    config = check_config(compose_train(f"method={name}"))
    built = hydra_peft.methods.build_method(name)
    assert config.method.label == built.label
    assert config.method.name == name
