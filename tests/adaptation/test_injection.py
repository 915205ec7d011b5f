"""Injecting a method into a model."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn
from torchvision.models import VisionTransformer

import hydra_peft
from hydra_peft import UserError
from hydra_peft.adaptation.injection import set_training_mode
from hydra_peft.adapters.base import NotMergeable
from hydra_peft.adapters.low_rank import LowRankLinear


def test_freezes_everything_but_adapter_and_head(tiny: nn.Module) -> None:
    done = hydra_peft.inject(tiny, "hydra", rank=2)
    trainable = {n for n, p in tiny.named_parameters() if p.requires_grad}
    assert {n.split(".")[-1] for n in trainable if n.startswith("head")} == {"weight", "bias"}
    others = {n for n in trainable if not n.startswith("head")}
    assert others
    assert all(".parallel." in n or ".sequential." in n for n in others)
    assert done.layers == tuple(
        f"blocks.{i}.{name}" for i in range(2) for name in ("attn.proj", "mlp.fc2")
    )
    assert "hydra r=2+2 on 4 layers (blocks.0.attn.proj" in str(done)
    assert done.head == ("head",)


def test_linear_and_full_come_through_the_same_door(tiny: nn.Module) -> None:
    hydra_peft.inject(tiny, "linear")
    assert {n for n, p in tiny.named_parameters() if p.requires_grad} == {
        "head.weight",
        "head.bias",
    }
    other = type(tiny)()
    hydra_peft.inject(other, "full")
    assert all(p.requires_grad for p in other.parameters())


@pytest.mark.parametrize("method", ["lora", "seqlora", "hydra", "linear", "full"])
def test_injected_model_computes_what_the_backbone_computed(tiny: nn.Module, method: str) -> None:
    x = torch.randn(3, 12)
    before = tiny(x)
    hydra_peft.inject(tiny, method)
    assert torch.equal(tiny(x), before)


def test_linear_probing_keeps_the_backbone_in_evaluation_mode(tiny: nn.Module) -> None:
    hydra_peft.inject(tiny, "linear")
    set_training_mode(tiny)
    assert not tiny.blocks[0]["attn"]["proj"].training
    assert tiny.head.training


@pytest.mark.parametrize("method", ["lora", "hydra", "linear"])
def test_what_is_saved_is_all_that_training_changed_with_batch_normalisation_too(
    method: str, tmp_path: Path
) -> None:
    backbone = nn.Sequential(
        nn.Linear(6, 6), nn.BatchNorm1d(6), nn.BatchNorm1d(6, affine=False), nn.Linear(6, 2)
    )
    model = copy.deepcopy(backbone)
    options = {} if method == "linear" else {"targets": ["0"], "rank": 2}
    hydra_peft.inject(model, method, head="3", **options)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(5):
        set_training_mode(model)
        model(3 + 2 * torch.randn(16, 6)).square().mean().backward()
        optimizer.step()
    hydra_peft.save_adapter(model, tmp_path / "saved")
    hydra_peft.load_adapter(backbone, tmp_path / "saved")
    x = torch.randn(4, 6)
    assert torch.equal(backbone.eval()(x), model.eval()(x))


def test_full_fine_tuning_moves_the_statistics_and_saves_them(tmp_path: Path) -> None:
    backbone = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Linear(6, 2))
    model = copy.deepcopy(backbone)
    hydra_peft.inject(model, "full", head="2")
    set_training_mode(model)
    model(3 + 2 * torch.randn(16, 6))
    assert not torch.equal(model[1].running_mean, torch.zeros(6))
    hydra_peft.save_adapter(model, tmp_path / "saved")
    hydra_peft.load_adapter(backbone, tmp_path / "saved")
    assert torch.equal(backbone[1].running_mean, model[1].running_mean)


def test_works_without_a_head_and_with_one_named() -> None:
    body = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    done = hydra_peft.inject(body, "lora", targets=["0"], rank=1, head="2")
    assert done.head == ("2",)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "no head was found in this Sequential, and all that method 'lora' does not train is"),
        ({"head": ()}, ""),
        ({"head": "1"}, ""),
        ({"method": "full", "targets": None, "rank": None}, ""),
    ],
)
def test_where_no_head_is_found_it_is_said_unless_there_is_none(
    options: dict[str, Any], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    given = {"method": "lora", "targets": ["0"], "rank": 1} | options
    done = hydra_peft.inject(model, **{k: v for k, v in given.items() if v is not None})
    assert done.head == tuple(options.get("head", ()))
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == bool(said)
    if said:
        assert messages[0].startswith(said)
        assert messages[0].endswith("(its parts: 0, 1), or say that there is none, head=()")


def test_full_says_what_it_leaves_frozen(caplog: pytest.LogCaptureFixture) -> None:
    model = nn.Sequential(nn.Linear(4, 4, dtype=torch.complex64), nn.Linear(4, 4))
    hydra_peft.inject(model, "full", head=())
    (record,) = caplog.records
    said = "trains parameters of real numbers: '0.weight' is complex64 and stays frozen, with 2 in"
    assert said in record.getMessage()


def test_a_method_that_trains_nothing_says_so(caplog: pytest.LogCaptureFixture) -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Identity())
    hydra_peft.inject(model, "linear", head="1")
    (record,) = caplog.records
    said = record.getMessage()
    assert said.startswith("method 'linear' trains nothing in this Sequential: its head (1) has no")


def test_heads_of_torchvision_and_transformers_are_found() -> None:
    names = [
        *("heads", "score", "classifier pre_classifier", "fc AuxLogits.fc", "head classifier"),
        *("qa_outputs", "classifier aux_classifier", "roi_heads.box_predictor", "fc aux1.fc2"),
    ]
    for said in names:
        model = nn.Module()
        model.add_module("body", nn.Linear(4, 4))
        for name in said.split():
            *outer, last = name.split(".")
            place = model
            for part in outer:
                place.add_module(part, nn.Module())
                place = place.get_submodule(part)
            place.add_module(last, nn.Linear(4, 2))
        assert " ".join(hydra_peft.inject(model, "lora", targets=["body"], rank=1).head) == said


def test_a_vision_transformer_of_torchvision_is_adapted_saved_and_loaded(
    tmp_path: Path, randomize: Any
) -> None:
    model, fresh = (VisionTransformer(8, 4, 1, 2, 8, 16, num_classes=n).eval() for n in (3, 1000))
    backbone = {n: t for n, t in model.state_dict().items() if not n.startswith("heads.")}
    fresh.load_state_dict(backbone, strict=False)
    done = hydra_peft.inject(model, "lora", targets=["mlp.0"], rank=2)
    assert done.head == ("heads",)
    assert hydra_peft.count_parameters(model).head == 27
    randomize(model)
    hydra_peft.save_adapter(model, tmp_path / "saved")
    hydra_peft.load_adapter(fresh, tmp_path / "saved")
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(fresh(x), model(x))


def test_a_layer_shared_under_two_names_is_adapted_under_both() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(4, 4)
            self.second = self.first

    model = Shared()
    hydra_peft.inject(model, "lora", targets=["first"], rank=1)
    assert model.first is model.second
    assert type(model.second).__name__ == "LowRankLinear"


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("loar", {}, "did you mean 'lora'"),
        ("lora", {"rnak": 2}, "did you mean 'rank'"),
        ("lora", {"rank": 0}, "at least 1"),
        ("hydra", {"rank_sequential": 0}, "at least 1"),
        ("seqlora", {"rank": 10_000}, "between 1 and 12"),
        ("lora", {"targets": ["attn.prj"]}, "near names: attn.proj"),
        ("lora", {"head": "haed"}, "has no head 'haed'"),
        ("lora", {"head": ""}, "has no head ''"),
        ("lora", {"head": "norm3"}, "has no head 'norm3'; near names: head\\."),
        ("lora", {"head": 3}, "head=3 is not a module's name"),
        ("lora", {"head": [None]}, r"head=\[None\] is not a module's name"),
        ("lora", {"dropout": 1.5}, "dropout=1.5 is not allowed: it must be at least 0 and below 1"),
        ("lora", {"scale": "x"}, "option 'scale' of method 'lora' is 'x': expected float"),
        ("lora", {"scale": None}, "expected float"),
        ("lora", {"rank": "4"}, "expected int"),
        ("lora", {"rank": True}, "expected int"),
        ("lora", {"bias": 1}, "expected bool"),
        ("lora", {"targets": "attn.proj"}, "expected list"),
        ("hydra", {"rank_parallel": 1.5}, "expected int | None"),
    ],
)
def test_a_refused_injection_leaves_the_model_as_it_was(
    tiny: nn.Module, method: str, options: dict[str, object], message: str
) -> None:
    modules = dict(tiny.named_modules())
    with pytest.raises(UserError, match=message):
        hydra_peft.inject(tiny, method, **options)
    assert dict(tiny.named_modules()) == modules
    assert all(p.requires_grad for p in tiny.parameters())


def test_a_second_injection_is_refused(tiny: nn.Module) -> None:
    hydra_peft.inject(tiny, "lora")
    with pytest.raises(UserError, match="already carries 'lora r=4'"):
        hydra_peft.inject(tiny, "hydra")


def test_frozen_weights_do_not_move_in_training(tiny: nn.Module) -> None:
    hydra_peft.inject(tiny, "hydra", rank=2)
    frozen = {n: p.clone() for n, p in tiny.named_parameters() if not p.requires_grad}
    trained = {n: p.clone() for n, p in tiny.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW([p for p in tiny.parameters() if p.requires_grad], lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        tiny(torch.randn(8, 12)).square().mean().backward()
        optimizer.step()
    now = dict(tiny.named_parameters())
    assert all(torch.equal(now[n], p) for n, p in frozen.items())
    assert all(not torch.equal(now[n], p) for n, p in trained.items())


def test_no_gradient_of_earlier_steps_is_left(tiny: nn.Module) -> None:
    tiny(torch.randn(2, 12)).sum().backward()
    hydra_peft.inject(tiny, "lora", rank=2)
    assert all(p.grad is None for p in tiny.parameters())
    before = {n: p.clone() for n, p in tiny.named_parameters()}
    torch.optim.AdamW(tiny.parameters(), lr=0.1).step()
    assert all(torch.equal(p, before[n]) for n, p in tiny.named_parameters())


def test_options_are_those_of_inject_whatever_becomes_of_the_callers_list(
    tiny: nn.Module, tmp_path: Path
) -> None:
    targets, fresh = ["attn.proj"], copy.deepcopy(tiny)
    hydra_peft.inject(tiny, "lora", targets=targets, rank=2)
    targets.append("mlp.fc2")
    hydra_peft.save_adapter(tiny, tmp_path)
    assert len(hydra_peft.load_adapter(fresh, tmp_path).layers) == 2


def test_lists_of_omegaconf_are_lists(tiny: nn.Module) -> None:
    options = OmegaConf.create({"targets": ["mlp.fc2"], "rank": 2})
    done = hydra_peft.inject(tiny, "lora", **options)
    assert done.method.targets == ["mlp.fc2"]
    assert type(done.method.targets) is list


def test_a_lazy_head_is_told(tiny: nn.Module) -> None:
    hydra_peft.inject(tiny, "lora", rank=2)
    tiny.head = nn.LazyLinear(4)
    for verb in (
        hydra_peft.count_parameters,
        hydra_peft.trainable_parameters,
        hydra_peft.adapter_state_dict,
    ):
        with pytest.raises(UserError, match=r"'head\.weight' has no shape yet \(a lazy layer\)"):
            verb(tiny)


def test_what_no_plain_layer_is_merged_into_is_told(tiny: nn.Module) -> None:
    hydra_peft.inject(tiny, "ssf", targets=["mlp.fc2"])
    adapter = tiny.blocks[0]["mlp"]["fc2"]
    adapter.base = LowRankLinear(adapter.base, rank_parallel=2)
    with pytest.raises(NotMergeable, match="computes something else than a plain layer"):
        hydra_peft.merge(tiny)
