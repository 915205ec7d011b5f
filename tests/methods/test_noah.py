"""NOAH's subnets against the formula, their published counts, and what they are made of."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import pytest
import torch
from plain_block import bottleneck, mlp, norm
from stock_vit import images, small_vit, vit_b16
from torch import Tensor, nn

import hydra_peft
from hydra_peft import UserError
from hydra_peft.methods import build_method
from hydra_peft.methods._noah_subnets import SUBNETS

Fill = Callable[[nn.Module], None]


def attention(own: Mapping[str, Tensor], x: Tensor, delta: Tensor | None, heads: int = 2) -> Tensor:
    """Compute multi-head attention with ``delta`` added to the weight of qkv."""
    weight = own["attn.qkv.weight"] if delta is None else own["attn.qkv.weight"] + delta
    q, k, v = (
        part.unflatten(-1, (heads, -1)).transpose(1, 2)
        for part in (x @ weight.T + own["attn.qkv.bias"]).chunk(3, -1)
    )
    out = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-1) @ v
    return out.transpose(1, 2).flatten(2) @ own["attn.proj.weight"].T + own["attn.proj.bias"]


def plain(fresh: nn.Module, adapted: nn.Module, x: Tensor, sizes: list[tuple[int, ...]]) -> Tensor:
    """Compute the network with prompts appended behind the patches, as NOAH's code has them."""
    state = {n: p.detach() for n, p in adapted.named_parameters()}
    x = fresh._pos_embed(fresh.patch_embed(x))
    tokens = x.shape[1]
    for index, (adapter_rank, lora_rank, prompts) in enumerate(sizes):
        own = dict(fresh.blocks[index].named_parameters())
        at = f"blocks.{index}." + ("base." if prompts else "")
        if prompts:
            learned = state[f"blocks.{index}.prompts"]
            assert learned.shape == (prompts, x.shape[2])
            x = torch.cat([x, learned.expand(len(x), -1, -1)], 1)
        delta = None
        if lora_rank:
            down, up = (state[f"{at}attn.qkv.parallel.{n}.weight"] for n in ("down", "up"))
            assert len(down) == lora_rank
            delta = up @ down
        x = x + attention(own, norm(own, "norm1", x, 1e-6), delta)
        part = mlp(own, norm(own, "norm2", x, 1e-6))
        if adapter_rank:
            prefix = f"{at}drop_path2.branch."
            branch = {n.removeprefix(prefix): p for n, p in state.items() if n.startswith(prefix)}
            assert len(branch["down.weight"]) == adapter_rank
            part = part + bottleneck(branch, part, lambda z: z * torch.sigmoid(1.702 * z))
        x = (x + part)[:, :tokens]
    x = norm(dict(fresh.named_parameters()), "norm", x, 1e-6)[:, 0]
    return x @ adapted.head.weight.T + adapted.head.bias


@pytest.mark.parametrize(
    ("sizes", "blocks"),
    [
        (([3], [2], [4]), [(3, 2, 4), (3, 2, 4)]),
        (([0, 5], [1, 0], [2, 0]), [(0, 1, 2), (5, 0, 0)]),
        (([1], [0], [0, 3]), [(1, 0, 0), (1, 0, 3)]),
    ],
)
def test_it_computes_the_formula(
    sizes: tuple[list[int], ...], blocks: list[tuple[int, ...]], randomize: Fill
) -> None:
    fresh = small_vit().double()
    model = copy.deepcopy(fresh)
    keys = ("adapter_rank", "lora_rank", "prompts")
    hydra_peft.inject(model, "noah", **dict(zip(keys, sizes, strict=True)))
    counts = sum(4 * 24 * r + (49 * a + 24) * (a > 0) + 24 * p for a, r, p in blocks)
    assert hydra_peft.count_parameters(model).adapter == counts
    randomize(model)
    x = images(dtype=torch.float64)
    expected = plain(fresh, model.eval(), x, blocks)
    torch.testing.assert_close(model(x), expected, rtol=0, atol=1e-11)


def test_published_subnets_have_their_published_counts() -> None:
    def count(subnet: Mapping[str, list[int]]) -> int:
        blocks = zip(*subnet.values(), strict=True)
        return sum(3072 * r + 1537 * a + 768 + 768 * p for a, r, p in blocks)

    counts = {task: count(subnet) for task, subnet in SUBNETS.items()}
    assert len(counts) == 19
    assert round(sum(counts.values()) / 19) == 360_134
    assert counts["cifar100"] == 320_330
    for task in ("cifar100", "smallnorb_elev"):
        model = vit_b16()
        hydra_peft.inject(model, "noah", subnet=task)
        assert hydra_peft.count_parameters(model).adapter == counts[task]


def test_subnets_are_tasks_of_vtab1k() -> None:
    from hydra_peft.config.benchmarks import find_benchmark

    assert set(SUBNETS) == set(find_benchmark("vtab1k").tasks)


def test_adapter_and_lora_do_not_start_as_the_identity() -> None:
    model = small_vit(embed_dim=768, depth=1)
    hydra_peft.inject(model, "noah", lora_rank=[10], adapter_rank=[10], prompts=[10])
    for name in ("attn.qkv.parallel", "drop_path2.branch"):
        for part in ("down", "up"):
            weight = model.get_parameter(f"blocks.0.base.{name}.{part}.weight")
            assert weight.std().item() == pytest.approx(0.02, rel=0.05)
    prompts = model.get_parameter("blocks.0.prompts")
    bound = (6 / (10 + 768)) ** 0.5
    assert prompts.abs().max() <= bound
    assert prompts.std().item() == pytest.approx(bound / 3**0.5, rel=0.05)


def test_two_spellings_are_one_setting() -> None:
    named = build_method("noah", subnet="dtd")
    listed = build_method("noah", **SUBNETS["dtd"])
    assert named.identity() == listed.identity()
    assert build_method("noah", prompts=[5] * 12).identity() == build_method("noah").identity()
    options = type(named).options_of(named.identity())
    assert build_method("noah", **options).identity() == named.identity()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"subnet": "cifar10"}, "subnet 'cifar10' is unknown .did you mean 'cifar100'"),
        ({"prompts": []}, r"prompts=\[\] is no list of sizes"),
        ({"prompts": [0], "lora_rank": [0], "adapter_rank": [0]}, "nothing would be trained"),
        ({"lora_rank": [-1]}, r"lora_rank\[0\]=-1 is not allowed: it must be at least 0"),
        ({"prompts": [1, 2, 3]}, "method.prompts has 3 sizes and the model 2 blocks"),
        ({"subnet": "dtd"}, "method.adapter_rank has 12 sizes and the model 2 blocks"),
    ],
)
def test_mistakes(options: dict[str, object], sentence: str) -> None:
    model = small_vit()
    keys = list(model.state_dict())
    with pytest.raises(UserError, match=sentence):
        hydra_peft.inject(model, "noah", **options)
    assert list(model.state_dict()) == keys
