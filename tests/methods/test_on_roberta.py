"""Methods on RoBERTa's layers: the paper's sites, counts and formula; peft; stock keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from lazy_peft import peft
from tiny_texts import ROBERTA, stock_model
from torch import Tensor, nn
from torch.nn import functional as F

import hydra_peft
from hydra_peft.adaptation.parameters import count_parameters
from hydra_peft.backbones.architectures import build_architecture
from hydra_peft.config.check import check_config
from hydra_peft.heads import head_class

IDS = torch.tensor([[0, 5, 6, 7, 8, 2, 1, 1], [0, 9, 10, 2, 2, 11, 12, 2]])
INPUTS = {"input_ids": IDS, "attention_mask": IDS != 1}
SITES = [f"roberta.encoder.layer.{layer}.output.dense" for layer in range(2)]
BRANCHES = {"targets": ["*[0-9].output.dense"], "bias": False, "init": "kaiming"}


def ours(stock: nn.Module) -> nn.Module:
    """Our model with the weights of transformers' own, in its dtype."""
    model = build_architecture("roberta", ROBERTA)
    names = head_class("roberta")().attach(model, 3)  # type: ignore[call-arg]
    assert names == ("classifier",)
    model.load_state_dict(stock.state_dict())
    return model.to(next(stock.parameters()).dtype).eval()


@pytest.mark.parametrize(
    ("words", "count"),
    [  # reference: the paper's budgets on RoBERTa-base, the head left out
        (["method=hydra_glue"], 331_776),
        (["method=lora_glue"], 294_912),
        (["method=lora_glue_mlp"], 322_560),
        (["method=bitfit"], 102_144),
        (["method=adapterdrop_glue"], 304_320),
        # the same at other ranks and sites
        pytest.param(["method=lora_glue_mlp", "method.rank=6"], 276_480, marks=pytest.mark.long),
        pytest.param(["method=seqlora_glue"], 331_776, marks=pytest.mark.long),
        pytest.param(["method=adapterdrop_glue_r48"], 894_528, marks=pytest.mark.long),
    ],
)
def test_budgets_on_the_base(
    compose_train: Callable[..., object], words: list[str], count: int
) -> None:
    config = check_config(compose_train("model=roberta_base", *words))
    with torch.device("meta"):
        model = build_architecture("roberta", config.model.arguments)
        hydra_peft.inject(model, config.method, head=config.head.attach(model, 3))
    found = count_parameters(model)
    assert (found.adapter, found.head) == (count, 592_899)
    if "mlp" in words[0] or "hydra" in words[0]:
        layers = hydra_peft.adaptation.record.adaptation(model).layers
        assert layers == tuple(f"roberta.encoder.layer.{i}.output.dense" for i in range(12))


def plain_hydra(stock: nn.Module, factors: dict[str, list[Tensor]]) -> Tensor:
    """Logits with ``f + A_up A_down x + B_up B_down f`` in the place of each site's output f,
    before RobertaOutput's dropout, residual and norm."""

    def branches(site: str) -> Callable[[nn.Module, Any, Tensor], Tensor]:
        down, up, down_behind, up_behind = factors[site]
        return lambda _module, given, f: (
            f + (given[0] @ down.T) @ up.T + (f @ down_behind.T) @ up_behind.T
        )

    hooks = [stock.get_submodule(s).register_forward_hook(branches(s)) for s in SITES]
    logits: Tensor = stock(**INPUTS).logits
    for hook in hooks:
        hook.remove()
    return logits


def test_hydra_is_the_plain_formula_inside_roberta_output(
    randomize: Callable[[nn.Module], None],
) -> None:
    stock = stock_model(dtype=torch.float64)
    model = ours(stock)
    hydra_peft.inject(
        model, "hydra", head="classifier", rank_parallel=4, rank_sequential=8, **BRANCHES
    )
    randomize(model)
    stock.classifier.load_state_dict(model.classifier.state_dict())
    own = {site: dict(model.get_submodule(site).named_parameters()) for site in SITES}
    names = [f"{b}.{part}.weight" for b in ("parallel", "sequential") for part in ("down", "up")]
    factors = {
        site: [own[site][name].detach().clone().requires_grad_() for name in names]
        for site in SITES
    }
    plain, found = plain_hydra(stock, factors), model(INPUTS)
    torch.testing.assert_close(found, plain, rtol=0, atol=1e-12)
    targets = torch.tensor([2, 0])
    F.cross_entropy(found, targets).backward()
    F.cross_entropy(plain, targets).backward()
    for site in SITES:
        for name, factor in zip(names, factors[site], strict=True):
            torch.testing.assert_close(own[site][name].grad, factor.grad, rtol=0, atol=1e-12)
    for name, parameter in model.classifier.named_parameters():
        other = stock.classifier.get_parameter(name)
        torch.testing.assert_close(parameter.grad, other.grad, rtol=0, atol=1e-12)


def test_lora_on_queries_and_values_is_pefts(compose_train: Callable[..., object]) -> None:
    stock = stock_model(dtype=torch.float64)
    model = ours(stock)
    method = check_config(compose_train("method=lora_glue")).method
    hydra_peft.inject(model, method, head="classifier")
    options = {"r": 8, "lora_alpha": 16, "target_modules": ["query", "value"]}
    theirs = peft.get_peft_model(
        stock, peft.LoraConfig(task_type="SEQ_CLS", **options), autocast_adapter_dtype=False
    )
    pairs = []
    for layer in range(2):
        for part in ("query", "value"):
            name = f"roberta.encoder.layer.{layer}.attention.self.{part}"
            branch, other = model.get_submodule(name).parallel, theirs.base_model.model
            other = other.get_submodule(name)
            pairs += [(branch.down, other.lora_A["default"]), (branch.up, other.lora_B["default"])]
    for own, its in pairs:
        with torch.no_grad():
            own.weight.add_(torch.randn_like(own.weight) * 0.2)
            its.weight.copy_(own.weight)
    found, expected = model(INPUTS), theirs.eval()(**INPUTS).logits
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    found.square().sum().backward()
    expected.square().sum().backward()
    for own, its in pairs:
        torch.testing.assert_close(own.weight.grad, its.weight.grad, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("hydra", {"rank_parallel": 4, "rank_sequential": 8, **BRANCHES}),
        ("seqlora", {"rank": 3, **BRANCHES}),
        ("dora", {"targets": ["query", "intermediate.dense"]}),
        ("lora", {"targets": ["query", "value"], "rank": 2}),
    ],
)
def test_merged_weights_are_stock_ones(
    randomize: Callable[[nn.Module], None], name: str, options: dict[str, Any]
) -> None:
    stock = stock_model(dtype=torch.float64)
    keys = list(stock.state_dict())
    model = ours(stock)
    hydra_peft.inject(model, name, head="classifier", **options)
    randomize(model)
    with torch.no_grad():
        before = model(INPUTS)
        hydra_peft.merge(model)
        assert list(model.state_dict()) == keys
        stock.load_state_dict(model.state_dict())
        torch.testing.assert_close(stock(**INPUTS).logits, before, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("adapterdrop", {"targets": ["*[0-9].output.dense"], "rank": 2}),
        ("bitfit", {}),
        ("vera", {"targets": ["query", "value"]}),
        ("kadaptation", {"targets": ["query", "value"], "parts": [], "phm_dim": 4}),
        ("full", {}),
    ],
)
def test_other_methods_train_on_it(name: str, options: dict[str, Any]) -> None:
    model = ours(stock_model())
    hydra_peft.inject(model, name, head="classifier", **options)
    hydra_peft.adaptation.injection.set_training_mode(model)
    model(INPUTS).square().sum().backward()
    trained = [p for p in model.parameters() if p.requires_grad]
    assert trained
    assert all(p.grad is not None for p in trained)


def test_the_head_starts_as_transformers_starts_it() -> None:
    model = build_architecture("roberta", {**ROBERTA, "hidden_size": 256, "num_attention_heads": 4})
    head_class("roberta")().attach(model, 3)  # type: ignore[call-arg]
    head = model.classifier
    assert abs(float(head.dense.weight.detach().std()) - 0.02) < 0.001
    assert not head.dense.bias.any()
    assert not head.out_proj.bias.any()
