"""Subspace similarity against its plain definition: full SVDs in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hydra_peft.adapters.low_rank import LowRankLinear
from hydra_peft.analysis.subspace import (
    PARALLEL,
    SEQUENTIAL,
    Directions,
    branch_ranks,
    branch_similarities,
    chance_similarity,
    leading_directions,
    product_directions,
    subspace_similarity,
)


def plain(m: np.ndarray, n: np.ndarray, i: int, j: int) -> float:
    """Paper eq. 14, word for word."""
    u_m = np.linalg.svd(m)[0][:, :i]
    u_n = np.linalg.svd(n)[0][:, :j]
    return float(np.linalg.norm(u_m.T @ u_n) ** 2 / min(i, j))


def adapted(inside: int, outside: int, parallel: int, sequential: int) -> LowRankLinear:
    layer = LowRankLinear(
        nn.Linear(inside, outside), rank_parallel=parallel, rank_sequential=sequential, scale=3.0
    )
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.3)
    return layer


def products(layer: LowRankLinear) -> dict[str, np.ndarray]:
    weight = layer.base.weight.detach().double().numpy()

    def product(branch: nn.Module) -> np.ndarray:
        return (branch.up.weight.double() @ branch.down.weight.double()).detach().numpy()

    updates = {}
    if layer.parallel is not None:
        updates[PARALLEL] = product(layer.parallel)
    if layer.sequential is not None:
        updates[SEQUENTIAL] = product(layer.sequential) @ weight
    return updates


@pytest.mark.parametrize("shape", [(40, 40), (120, 30), (30, 120), (61, 47)])
@pytest.mark.parametrize("ranks", [(2, 2), (4, 0), (0, 6), (2, 5)])
def test_equals_the_plain_definition(shape: tuple[int, int], ranks: tuple[int, int]) -> None:
    layer = adapted(*shape, *ranks)
    weight = layer.base.weight.detach().double().numpy()
    found = branch_similarities(layer)
    updates = products(layer)
    assert list(found) == list(updates)
    for name, update in updates.items():
        top = round(0.1 * min(shape))
        assert found[name].shape == (top, 2)
        for i in range(1, top + 1):
            for j in (1, 2):
                expected = plain(weight, update, i, j)
                assert float(found[name][i - 1, j - 1]) == pytest.approx(expected, abs=1e-12)


def test_every_direction_of_a_tall_and_a_wide_matrix() -> None:
    for shape in ((9, 5), (5, 9), (6, 6), (1, 4), (4, 1)):
        m, n = torch.randn(*shape).double(), torch.randn(shape[0], 7).double()
        least = min(shape)
        found = subspace_similarity(leading_directions(m, 99), leading_directions(n, 99))
        assert found.shape == (least, min(shape[0], 7))
        for i in range(1, found.shape[0] + 1):
            for j in range(1, found.shape[1] + 1):
                expected = plain(m.numpy(), n.numpy(), i, j)
                assert float(found[i - 1, j - 1]) == pytest.approx(expected, abs=1e-10)


def test_neither_scale_nor_biases_matter() -> None:
    layer = adapted(30, 20, 2, 2)
    before = branch_similarities(layer)
    layer.scale = -0.25
    with torch.no_grad():
        layer.parallel.up.bias.fill_(9.0)
        layer.base.bias.fill_(-7.0)
    after = branch_similarities(layer)
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=0, atol=0)


def test_known_cases_by_hand() -> None:
    weight = torch.diag(torch.tensor([5.0, 4.0, 3.0, 2.0, 1.0]))
    e = torch.eye(5).double()
    leading = leading_directions(weight, 3)
    inside = product_directions(e[:, [1]], torch.ones(1, 4), 1)
    torch.testing.assert_close(
        subspace_similarity(leading, inside), torch.tensor([[0.0], [1.0], [1.0]]).double()
    )
    outside = product_directions(e[:, [4]], torch.ones(1, 4), 1)
    assert subspace_similarity(leading, outside).abs().max() < 1e-28
    between = product_directions((e[:, [0]] + e[:, [4]]), torch.ones(1, 4), 1)
    torch.testing.assert_close(
        subspace_similarity(leading, between), torch.full((3, 1), 0.5).double()
    )


def test_a_zero_update_has_no_directions() -> None:
    layer = LowRankLinear(nn.Linear(20, 30), rank_parallel=2, rank_sequential=2)  # untrained
    for value in branch_similarities(layer).values():
        assert value.shape == (2, 2)
        assert bool(value.isnan().all())


def test_a_rank_one_update_has_one_direction() -> None:
    layer = adapted(20, 30, 1, 2)
    with torch.no_grad():  # of rank 1, though two are allowed
        layer.sequential.up.weight[:, 1] = 2 * layer.sequential.up.weight[:, 0]
    weight, updates = layer.base.weight.detach().double().numpy(), products(layer)
    for name, value in branch_similarities(layer).items():
        assert bool(value[:, 1].isnan().all())
        expected = [plain(weight, updates[name], i, 1) for i in (1, 2)]
        torch.testing.assert_close(value[:, 0], torch.tensor(expected).double())


def test_a_cut_through_a_tie_is_undefined_and_others_are_not() -> None:
    q, _ = torch.linalg.qr(torch.randn(12, 12).double())
    p, _ = torch.linalg.qr(torch.randn(20, 12).double())
    values = torch.tensor([5.0, 4, 4, 3, 2, 2, 2, 1, 0, 0, 0, 0]).double()
    weight = q @ torch.diag(values) @ p.T
    other = torch.randn(12, 2).double() @ torch.randn(2, 9).double()
    for matrix in (weight, 1e-12 * weight, 1e12 * weight):
        leading = leading_directions(matrix, 12)
        assert leading.definite.tolist() == [i in (1, 3, 4, 7, 8) for i in range(1, 13)]
        found = subspace_similarity(leading, leading_directions(other, 2))
        for i in (1, 3, 4, 7, 8):
            for j in (1, 2):
                expected = plain(matrix.numpy(), other.numpy(), i, j)
                assert float(found[i - 1, j - 1]) == pytest.approx(expected, abs=1e-10)
        assert bool(found[[1, 4, 5, 8, 11]].isnan().all())
    assert not leading_directions(torch.eye(10), 3).definite.any()
    assert product_directions(torch.eye(6)[:, :2], torch.eye(2), 2).definite.tolist() == [
        False,
        True,
    ]


@pytest.mark.parametrize(("i", "j", "d"), [(3, 2, 20), (2, 1, 6), (7, 2, 9), (1, 1, 2)])
def test_chance_is_what_random_subspaces_give(i: int, j: int, d: int) -> None:
    draws = 20_000
    u = torch.linalg.qr(torch.randn(draws, d, i).double()).Q
    v = torch.linalg.qr(torch.randn(draws, d, j).double()).Q
    sample = (u.mT @ v).square().sum((1, 2)) / min(i, j)
    mean, std = chance_similarity(i, j, d)
    assert mean == pytest.approx(max(i, j) / d)
    assert float(sample.mean()) == pytest.approx(mean, abs=4 * std / draws**0.5)
    assert float(sample.std()) == pytest.approx(std, rel=0.05)


def test_a_whole_space_leaves_nothing_to_chance() -> None:
    assert chance_similarity(5, 2, 5) == (1.0, 0.0)
    assert chance_similarity(1, 1, 1) == (1.0, 0.0)


def test_directions_of_vit_b_are_as_good_as_those_of_a_full_svd() -> None:
    weight = 0.02 * torch.randn(768, 900)
    found = leading_directions(weight, 77)
    expected = torch.linalg.svd(weight.double(), full_matrices=False).U[:, :77]
    overlap = subspace_similarity(found, Directions(expected, torch.ones(77, dtype=torch.bool)))
    torch.testing.assert_close(overlap.diagonal(), torch.ones(77).double(), atol=1e-10, rtol=0)


@pytest.mark.parametrize("options", [{"parts": ["q", "v"]}, {"init": "pissa"}])
def test_the_update_is_the_whole_one_of_a_branch_that_is_put_together(
    options: dict[str, Any],
) -> None:
    layer = LowRankLinear(nn.Linear(9, 12), rank_parallel=2, bias=False, **options)
    with torch.no_grad():
        for _, parameter in layer.adapter_parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter))
        update = layer.folded(torch.float64)[0] - layer.base.weight.double()
    found = branch_similarities(layer, count=4)[PARALLEL]
    weight = layer.base.weight.detach().double().numpy()
    for j in range(1, 5):
        expected = plain(weight, update.numpy(), 1, j)
        assert found[0, j - 1].item() == pytest.approx(expected, abs=1e-8)


def test_ranks_of_the_branches_that_there_are() -> None:
    assert branch_ranks(adapted(9, 12, 2, 5)) == {PARALLEL: 2, SEQUENTIAL: 5}
    assert branch_ranks(adapted(9, 12, 0, 1)) == {SEQUENTIAL: 1}
