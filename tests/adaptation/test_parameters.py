"""Parameter counts: those the paper's tables print follow from the code."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import hydra_peft
from hydra_peft import UserError
from hydra_peft.adaptation.parameters import adapter_state_dict
from hydra_peft.backbones.architectures import build_architecture

#: classes of the 19 VTAB-1k tasks in the paper's column order (methods.md, section 1.1)
VTAB_CLASSES = [100, 102, 47, 102, 37, 10, 397, 2, 10, 45, 5, 8, 6, 6, 4, 16, 16, 18, 9]


@pytest.mark.parametrize(
    ("method", "options", "adapter", "paper_millions", "with_head"),
    [
        ("hydra", {"rank": 2}, 239_712, "0.28", True),
        ("lora", {"rank": 4}, 276_576, "0.31", True),
        ("lora", {"rank": 4, "bias": False}, 258_048, None, False),
        ("seqlora", {"rank": 6}, 239_760, "0.28", True),
        ("linear", {}, 0, "0.04", True),
        ("full", {}, 85_798_656, "85.8", False),
    ],
)
def test_published_counts_on_vit_b16(
    method: str, options: dict, adapter: int, paper_millions: str | None, with_head: bool
) -> None:
    with torch.device("meta"):
        model = build_architecture("vit_base_patch16_224.orig_in21k", {})
        model.reset_classifier(100)
        hydra_peft.inject(model, method, **options)
    counts = hydra_peft.count_parameters(model)
    assert counts.adapter == adapter
    assert counts.head == 769 * 100
    assert counts.trainable == counts.adapter + counts.head
    if paper_millions is not None:
        mean_head = 769 * sum(VTAB_CLASSES) / len(VTAB_CLASSES)
        total = adapter + (mean_head if with_head else 0)
        decimals = len(paper_millions.split(".")[1])
        assert f"{total / 1e6:.{decimals}f}" == paper_millions


def test_total_counts_every_parameter_once(tiny: nn.Module) -> None:
    plain = sum(p.numel() for p in tiny.parameters())
    hydra_peft.inject(tiny, "hydra", rank=2)
    counts = hydra_peft.count_parameters(tiny)
    assert counts.total == plain + counts.adapter
    hydra_peft.merge(tiny)
    assert hydra_peft.count_parameters(tiny) == counts


def test_state_dict_holds_adapter_and_head_under_the_models_names(tiny: nn.Module) -> None:
    hydra_peft.inject(tiny, "lora", rank=1, targets=["attn.proj"])
    state = adapter_state_dict(tiny)
    branch = [f"{part}.{name}" for part in ("down", "up") for name in ("weight", "bias")]
    expected = [f"blocks.{i}.attn.proj.parallel.{name}" for i in range(2) for name in branch]
    assert sorted(state) == sorted([*expected, "head.weight", "head.bias"])
    assert sorted(adapter_state_dict(tiny, head=False)) == sorted(expected)
    hydra_peft.merge(tiny)
    assert sorted(adapter_state_dict(tiny)) == sorted(state)


def test_full_fine_tuning_saves_buffers_too() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    hydra_peft.inject(model, "full", head=())
    assert {"1.running_mean", "1.running_var", "0.weight"} <= set(adapter_state_dict(model))


def test_an_optimizer_takes_all_that_is_trained(tiny: nn.Module) -> None:
    hydra_peft.inject(tiny, "lora", rank=1)
    trained = hydra_peft.trainable_parameters(tiny)
    assert [id(p) for p in trained] == [id(p) for p in tiny.parameters() if p.requires_grad]
    assert len(trained) == len(list(trained)) == 4 * 4 + 2
    optimizer = torch.optim.SGD(trained, lr=1.0)
    for parameter in trained:
        parameter.grad = torch.ones_like(parameter)
    before = {name: p.detach().clone() for name, p in tiny.named_parameters()}
    optimizer.step()
    moved = {n for n, p in tiny.named_parameters() if torch.equal(p, before[n] - 1)}
    assert moved == {*trained.adapter, *trained.head}
    nn.utils.clip_grad_norm_(trained, 1.0)


def test_adapters_of_a_merged_model_are_not_given_to_an_optimizer(tiny: nn.Module) -> None:
    hydra_peft.inject(tiny, "lora")
    hydra_peft.merge(tiny)
    with pytest.raises(UserError, match=r"this model is merged, .* unmerge\(\) first"):
        hydra_peft.trainable_parameters(tiny)
    hydra_peft.unmerge(tiny)
    assert all(p.requires_grad for p in hydra_peft.trainable_parameters(tiny))
