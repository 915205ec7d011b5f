"""NOAH's search: slices of a supernet are subnets, and an evolution finds what there is to find."""

from __future__ import annotations

import copy
from collections import Counter
from itertools import product
from random import Random

import pytest
import torch
from stock_vit import images, small_vit
from torch import nn
from torch.nn import functional as F

import hydra_peft
from hydra_peft import UserError
from hydra_peft.adapters.base import NotMergeable
from hydra_peft.adapters.elastic import Elastic, elastic_parts
from hydra_peft.methods import build_method
from hydra_peft.methods._evolution import evolve
from hydra_peft.methods._subnets import Subnet, SubnetSpace
from hydra_peft.methods.noah import Noah, _set_subnet
from hydra_peft.training.seeding import generator

SPACE = [1, 2, 4]


def supernet() -> nn.Module:
    model = small_vit().double()
    hydra_peft.inject(model, "noah", search="supernet", space=SPACE, dropout=0.0)
    return model


def alone(whole: nn.Module, subnet: Subnet) -> nn.Module:
    """Return a plain model of the sizes of ``subnet`` with the first rows of the supernet's."""
    model = small_vit().double()
    adapters, ranks, prompts = map(list, subnet)
    sizes = {"adapter_widths": adapters, "lora_ranks": ranks, "prompts": prompts}
    hydra_peft.inject(model, "noah", **sizes, dropout=0.0)
    own, found = dict(whole.named_parameters()), dict(model.named_parameters())
    with torch.no_grad():
        for n, (a, rank, v) in enumerate(zip(*subnet, strict=True)):
            inside, block = f"blocks.{n}.base.", f"blocks.{n}." + ("base." if v else "")
            if v:
                found[f"blocks.{n}.prompts"].copy_(own[f"blocks.{n}.prompts"][:v])
            if rank:
                down, up = (own[f"{inside}attn.qkv.{part}"] for part in ("down", "up"))
                found[f"{block}attn.qkv.parallel.down.weight"].copy_(down[:rank])
                found[f"{block}attn.qkv.parallel.up.weight"].copy_(up[:, :rank])
            if a:
                to, of = f"{block}drop_path2.branch.", f"{inside}drop_path2.branch."
                found[f"{to}down.weight"].copy_(own[f"{of}down.weight"][:a])
                found[f"{to}down.bias"].copy_(own[f"{of}down.bias"][:a])
                found[f"{to}up.weight"].copy_(own[f"{of}up.weight"][:, :a])
                found[f"{to}up.bias"].copy_(own[f"{of}up.bias"])
        for name in ("head.weight", "head.bias"):
            found[name].copy_(own[name])
    return model


@pytest.mark.parametrize(
    "subnet", [((4, 1), (2, 4), (1, 2)), ((2, 0), (0, 1), (4, 0)), ((0, 0), (1, 0), (0, 0))]
)
def test_slices_of_the_supernet_are_the_subnet_alone(subnet: Subnet) -> None:
    whole = supernet()
    with torch.no_grad():
        for parameter in hydra_peft.trainable_parameters(whole):
            parameter.add_(0.1 * torch.randn_like(parameter))
    plain, x = alone(whole, subnet), images(dtype=torch.float64)
    _set_subnet(whole, subnet, training=False)
    torch.testing.assert_close(whole(x), plain(x), rtol=0, atol=1e-12)
    hydra_peft.set_training_mode(whole), hydra_peft.set_training_mode(plain)
    _set_subnet(whole, subnet, training=True)
    for model in (whole, plain):
        F.cross_entropy(model(x), torch.tensor([0, 1, 2])).backward()
    norms = [
        sum(p.grad.square().sum() for p in hydra_peft.trainable_parameters(m) if p.grad is not None)
        for m in (whole, plain)
    ]
    torch.testing.assert_close(norms[0], norms[1], rtol=1e-10, atol=0)
    # Nothing beyond the slices is trained.
    for part, sizes in zip(("adapter", "lora", "prompts"), subnet, strict=True):
        for module, size in zip(elastic_parts(whole, part), sizes, strict=True):
            for name, parameter in module.named_parameters():
                if name.endswith(("down", "down.weight", "prompts")) and "base" not in name:
                    assert parameter.grad is None or not parameter.grad[size:].any()


def test_each_step_draws_a_subnet_and_scoring_takes_the_largest() -> None:
    model = supernet()
    method, drawn = build_method("noah", search="supernet", space=SPACE), Counter[tuple[int, ...]]()
    for step in range(60):
        method.before_step(model, step, generator(3, f"step/{step}"))
        drawn[tuple(part.drawn for part in elastic_parts(model, "lora"))] += 1
    # half of two blocks, or both, with any size in each
    assert set(drawn) == {*product(SPACE, [0]), *product(SPACE, SPACE)}
    parts = [module for module in model.modules() if isinstance(module, Elastic)]
    assert {part.chosen for part in parts} == {4}
    assert {part.size for part in parts} == {4}
    with pytest.raises(NotMergeable, match="learned tokens lengthen the sequence"):
        hydra_peft.merge(model)


def space(limit: int = 10**9) -> SubnetSpace:
    return SubnetSpace(blocks=4, sizes=(1, 3), limit=limit, width=24, packed=72)


def test_costs_are_what_models_have() -> None:
    random = Random(1)
    found = SubnetSpace(blocks=2, sizes=(1, 2, 4), limit=10**9, width=24, packed=72)
    for _ in range(3):
        subnet = found.draw(random)
        model = alone(supernet(), subnet)
        assert hydra_peft.count_parameters(model).adapter == found.cost(subnet)
    # The released subnet of CIFAR-100 has 320,330 on ViT-B/16.
    large = SubnetSpace(12, (1, 5, 10), 10**9, 768, 2304)
    adapters = (5, 10, 10, 10, 5, 1, 1, 1, 10, 10, 10, 1)
    ranks = (10, 1, 5, 5, 1, 10, 1, 1, 1, 10, 1, 1)
    assert large.cost((adapters, ranks, (10, 5, 10, 1, 5, 1, 10, 1, 10, 5, 1, 10))) == 320_330
    assert large.depths == (3, 6, 9, 12)


def test_parts_stand_in_the_first_blocks_alone() -> None:
    random, found = Random(0), space()
    members = [found.draw(random) for _ in range(50)]
    members += [found.mutated(member, random) for member in members]
    pairs = zip(members, reversed(members), strict=True)
    members += [found.crossed(first, second, random) for first, second in pairs]
    for part in (part for member in members for part in member):
        depth = sum(map(bool, part))
        assert depth in (1, 2, 3, 4)
        assert all(size in (1, 3) for size in part[:depth])
        assert not any(part[depth:])
    assert len(set(members)) > 100


def test_evolution_finds_the_best_under_the_limit() -> None:
    limit = 1_800
    found = space(limit)
    parts = [
        (*sizes, *[0] * (4 - depth))
        for depth in (1, 2, 3, 4)
        for sizes in product((1, 3), repeat=depth)
    ]
    every = [subnet for subnet in product(parts, repeat=3) if found.cost(subnet) <= limit]
    assert len(every) > 5_000

    def fitness(subnet: Subnet) -> float:
        adapters, ranks, prompts = subnet
        return float(
            sum(n * a for n, a in enumerate(adapters, 2))
            + sum((4 - n) * rank for n, rank in enumerate(ranks))
            - sum(abs(v - 1) for v in prompts)
        )

    search = evolve(found, population=60, generations=25, random=Random(2))
    seen = [next(search)]
    scores = []
    while True:
        scores.append(fitness(seen[-1]))
        try:
            seen.append(search.send(scores[-1]))
        except StopIteration:
            break
    assert len(seen) == len(set(seen)) <= 60 * 25
    assert all(found.cost(subnet) <= limit for subnet in seen)
    assert max(scores) == max(map(fitness, every)) > max(scores[:60])  # none of those drawn first


def test_a_limit_that_draws_do_not_meet_leaves_the_smallest() -> None:
    found = space()
    tight = SubnetSpace(4, (1, 3), found.cost(found.smallest), 24, 72)
    members = list(evolve(tight, population=3, generations=1, random=Random(0)))
    assert members == [found.smallest]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"search": "evolution", "limit": 100}, r"limit=100 leaves no subnet: the smallest of"),
        ({"search": "evolve"}, "search=evolve is not allowed: it must be one of none"),
        ({"space": []}, r"space=\[\] has no size"),
    ],
)
def test_refusals(options: dict[str, object], message: str) -> None:
    model = small_vit()
    before = str(model)
    with pytest.raises(UserError, match=message):
        hydra_peft.inject(model, "noah", **options)
    assert str(model) == before


def test_identity_has_what_acts() -> None:
    given = build_method("noah", limit=7, generations=3)
    assert given.identity() == build_method("noah").identity()
    assert "search" not in given.identity()
    whole = build_method("noah", search="supernet", prompts=[1], limit=7, space=[10, 5, 5, 1])
    assert whole.identity() == {"name": "noah", "dropout": 0.1, "search": "supernet"}
    searched = build_method("noah", search="evolution", prompts=[1, 2], limit=7)
    assert searched.label == "noah searched"
    again = build_method("noah", **Noah.options_of(searched.identity()))
    assert again == searched
    assert copy.deepcopy(searched).preparation().chooses == (  # type: ignore[union-attr]
        "adapter_widths",
        "lora_ranks",
        "prompts",
    )
