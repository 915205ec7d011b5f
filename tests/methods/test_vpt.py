"""VPT against a plain forward pass over timm's blocks."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
from stock_vit import images, small_vit, vit_b16
from torch import Tensor, nn

import hydra_peft
from hydra_peft import UserError

#: prompts of each task of VTAB-1k, in the paper's order: they give Table 2's 0.53 M
BY_TASK = (10, 10, 10, 1, 1, 50, 5, 100, 100, 10, 1, 50, 200, 100, 50, 10, 50, 200, 200)


def test_counts_of_vit_b16() -> None:
    counts = []
    for prompts in sorted(set(BY_TASK)):
        model = vit_b16()
        hydra_peft.inject(model, "vpt_deep", prompts=prompts)
        counts.append(hydra_peft.count_parameters(model).adapter)
        assert counts[-1] == 9216 * prompts
    groups = [BY_TASK[:7], BY_TASK[7:11], BY_TASK[11:]]
    means = [9216 * sum(group) / len(group) for group in groups]
    assert int(sum(means) / 3) == 530_468
    model = vit_b16()
    hydra_peft.inject(model, "vpt_shallow", prompts=50)
    assert hydra_peft.count_parameters(model).adapter == 768 * 50


def test_start_is_uniform_with_xaviers_bound() -> None:
    model = small_vit()
    hydra_peft.inject(model, "vpt_shallow", prompts=400)
    prompts = model.blocks[0].prompts.detach()
    bound = (6 / (3 * 64 + 24)) ** 0.5
    assert float(prompts.abs().max()) <= bound
    assert abs(float(prompts.std()) - bound / 3**0.5) < 0.01 * bound


def plain(fresh: nn.Module, prompts: list[Tensor], x: Tensor) -> Tensor:
    """Compute VPT with timm's blocks one by one; one tensor of prompts is VPT-Shallow."""
    tokens = fresh._pos_embed(fresh.patch_embed(x))
    first, count = fresh.num_prefix_tokens, len(prompts[0])
    for index, block in enumerate(fresh.blocks):
        if index < len(prompts):
            rest = tokens[:, first + (count if index else 0) :]
            own = prompts[index].expand(len(x), -1, -1)
            tokens = torch.cat((tokens[:, :first], own, rest), dim=1)
        tokens = block(tokens)
    tokens = fresh.norm(tokens)
    if fresh.global_pool == "avg":
        return fresh.head(fresh.fc_norm(tokens[:, first + count :].mean(dim=1)))
    return fresh.head(tokens[:, 0])


@pytest.mark.parametrize(
    "changes", [{}, {"reg_tokens": 2}, {"global_pool": "avg", "fc_norm": True}]
)
@pytest.mark.parametrize("name", ["vpt_shallow", "vpt_deep"])
def test_outputs_and_gradients_are_the_formulas(name: str, changes: dict[str, object]) -> None:
    fresh = small_vit(**changes).double()
    model = copy.deepcopy(fresh)
    hydra_peft.inject(model, name, prompts=3)
    own = list(hydra_peft.trainable_parameters(model).adapter.values())
    assert len(own) == (2 if name == "vpt_deep" else 1)
    prompts = [parameter.detach().clone().requires_grad_() for parameter in own]
    x = images(dtype=torch.float64)
    outputs = model(x), plain(fresh, prompts, x)
    torch.testing.assert_close(*outputs, rtol=0, atol=1e-12)
    for output in outputs:
        output.pow(2).sum().backward()
    for parameter, other in zip(own, prompts, strict=True):
        torch.testing.assert_close(parameter.grad, other.grad, rtol=1e-9, atol=1e-10)


def test_dropout_acts_though_the_backbone_is_in_evaluation_mode() -> None:
    model = small_vit()
    hydra_peft.inject(model, "vpt_deep", prompts=8, dropout=0.5)
    hydra_peft.set_training_mode(model)
    assert not model.blocks[0].base.training
    assert not torch.equal(model(images()), model(images()))
    model.eval()
    assert torch.equal(model(images()), model(images()))


@pytest.mark.parametrize(
    ("name", "sizes", "message"),
    [
        ("mixer_s16_224", {"img_size": 32}, "MlpMixer has no row"),
        ("convnext_tiny", {"depths": (1, 1, 1, 1), "dims": (8, 8, 8, 8)}, "ConvNeXt has no row of"),
        ("eva02_tiny_patch14_224", {"depth": 1}, "Eva gives its patches positions"),
        ("vit_relpos_small_patch16_224", {"depth": 1}, "positions inside attention"),
        ("beit_base_patch16_224", {"depth": 1, "embed_dim": 24}, "Beit gives its patches pos"),
        ("convit_tiny", {"depth": 1}, "ConVit gives its patches positions"),
        ("xcit_nano_12_p16_224", {"depth": 1}, "Xcit .* or reads them as an image"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["vpt_deep", "noah"])
def test_refusals_change_nothing(
    name: str, sizes: dict[str, object], message: str, method: str
) -> None:
    model = timm.create_model(name, num_classes=3, **sizes)
    before = str(model)
    with pytest.raises(UserError, match=message):
        hydra_peft.inject(model, method)
    assert str(model) == before
