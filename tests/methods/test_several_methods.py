"""Any parallel and any sequential adapter together."""

from __future__ import annotations

import copy
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from stock_vit import images, small_vit
from torch import nn

import hydra_peft
from hydra_peft import UserError
from hydra_peft.methods import build_method, method_class


def pair(parallel: str, sequential: str, **options: object) -> dict[str, object]:
    return {"parallel": parallel, "sequential": sequential, **options}


def test_lora_and_seqlora_are_hydra() -> None:
    fresh = small_vit().double()
    hydra, both = copy.deepcopy(fresh), copy.deepcopy(fresh)
    hydra_peft.inject(hydra, "hydra", rank_parallel=3, rank_sequential=2, scale=0.7)
    hydra_peft.inject(
        both,
        "branches",
        **pair("lora", "seqlora"),
        parallel_options={"rank": 3, "scale": 0.7},
        sequential_options={"rank": 2, "scale": 0.7},
    )
    own = dict(hydra_peft.trainable_parameters(hydra).adapter)
    theirs = dict(hydra_peft.trainable_parameters(both).adapter)
    assert sorted(p.numel() for p in own.values()) == sorted(p.numel() for p in theirs.values())
    with torch.no_grad():
        for name, parameter in own.items():
            nn.init.normal_(parameter, std=0.1)
            branch = "parallel" if ".parallel." in name else "sequential"
            theirs[name.replace(f".{branch}.", f".{branch}.{branch}.")].copy_(parameter)
    x = images(dtype=torch.float64)
    outputs = both(x), hydra(x)
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-12)
    for output in outputs:
        output.pow(2).sum().backward()
    for name, parameter in own.items():
        branch = "parallel" if ".parallel." in name else "sequential"
        other = theirs[name.replace(f".{branch}.", f".{branch}.{branch}.")]
        torch.testing.assert_close(other.grad, parameter.grad, rtol=1e-9, atol=1e-10)
    expected = both(x)
    hydra_peft.merge(both)
    torch.testing.assert_close(both(x), expected, rtol=0, atol=1e-10)
    assert list(both.state_dict()) == list(fresh.state_dict())


@pytest.mark.parametrize("parallel", ["lora", "repadapter", "ssf"])
@pytest.mark.parametrize("sequential", ["seqlora", "ssf"])
def test_pairs_merge_and_load(parallel: str, sequential: str, tmp_path: Path) -> None:
    fresh = small_vit().double()
    model = copy.deepcopy(fresh)
    hydra_peft.inject(model, "branches", **pair(parallel, sequential))
    for parameter in hydra_peft.trainable_parameters(model):
        nn.init.normal_(parameter, mean=0.1, std=0.1)
    expected = model(images(dtype=torch.float64))
    hydra_peft.save_adapter(model, tmp_path)
    again = copy.deepcopy(fresh)
    hydra_peft.load_adapter(again, tmp_path)
    for one in (model, again):
        hydra_peft.merge(one)
        found = one(images(dtype=torch.float64))
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


def test_the_sequential_branch_reads_the_frozen_layer(tiny: nn.Module) -> None:
    fresh = copy.deepcopy(tiny).double()
    model = copy.deepcopy(fresh)
    targets = {"targets": ["attn.proj"]}
    hydra_peft.inject(
        model, "branches", parallel_options={"rank": 2, **targets}, sequential_options=targets
    )
    layer, frozen = model.blocks[0]["attn"]["proj"], fresh.blocks[0]["attn"]["proj"]
    for parameter in layer.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, std=0.5)
    x = torch.randn(5, 12, dtype=torch.float64)
    lora, ssf = layer.parallel.parallel, layer.sequential
    expected = ssf.gamma * frozen(x) + ssf.beta + lora.up(lora.down(x))
    torch.testing.assert_close(layer(x), expected, rtol=0, atol=1e-12)


def test_a_pair_that_cannot_merge_says_so_and_stays() -> None:
    model = small_vit()
    hydra_peft.inject(model, "branches", **pair("vpt_deep", "ssf"))
    expected = model(images())
    with pytest.raises(hydra_peft.UserError, match="learned tokens lengthen"):
        hydra_peft.merge(model)
    torch.testing.assert_close(model(images()), expected, rtol=0, atol=0)


def test_label_and_identity() -> None:
    method = build_method("branches", parallel_options={"rank": 2})
    assert method.label == "branches lora r=2 + ssf"
    rebuilt = build_method("branches", **method_class("branches").options_of(method.identity()))
    assert rebuilt.identity() == method.identity()
    assert build_method("branches").identity() != method.identity()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (pair("branches", "ssf"), "method.parallel=branches: branches are two other methods"),
        (pair("lora", "full"), "method.sequential=full trains the whole backbone"),
        (pair("lora", "sff"), "method.sequential=sff: method 'sff' is unknown"),
        ({"parallel_options": {"rnk": 2}}, "method.parallel=lora: method 'lora' has no option"),
        ({"sequential_options": 3}, "'sequential_options' of method 'branches' is 3: expected"),
        ({"parallel_options": {1: 2}}, "'parallel_options' of method 'branches' is {1: 2}"),
        (pair("linear", "ssf"), "method 'linear' adapts no layer and is no branch"),
        (pair("vpt_deep", "adapter_plus"), "vpt_deep p=10 and adapter_plus r=8 both stand around"),
        ({"parallel_options": {"rank": 30}}, "rank 30 of the parallel branch does not fit"),
    ],
)
def test_refusals_change_nothing(options: dict[str, object], message: str) -> None:
    model = small_vit()
    before = str(model)
    with pytest.raises(UserError, match=message):
        hydra_peft.inject(model, "branches", **options)
    assert str(model) == before


def test_the_frozen_layer_is_computed_once_in_each_thread() -> None:
    """A checkpoint's recomputation has to be what the first forward was."""
    model = nn.Sequential(nn.Linear(6, 6))
    options = {"parallel_options": {"targets": ["0"]}, "sequential_options": {"targets": ["0"]}}
    hydra_peft.inject(model, "branches", head=(), **pair("lora", "seqlora", **options))
    meet, calls = threading.Barrier(2, timeout=30), []

    def pause(*_: object) -> None:
        meet.wait()

    model[0].parallel.register_forward_pre_hook(pause)
    model[0].base.register_forward_hook(lambda *_: calls.append(threading.get_ident()))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(model, [torch.randn(2, 6) for _ in range(2)]))
    assert len(calls) == len(set(calls)) == 2
