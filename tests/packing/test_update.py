"""The packed operation against the plain formula, run by run, in float64."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from hydra_peft.packing.update import packed_low_rank_linear, stacked

RANKS = (3, 1, 2)


def parts(counts: Sequence[int]) -> dict[str, list[Tensor]]:
    draw = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw, dtype=torch.float64).requires_grad_()

    return {
        "x": [random(count, 5) for count in counts],
        "down": [random(rank, 5) for rank in RANKS],
        "shift": [random(rank) for rank in RANKS],
        "up": [random(4, rank) for rank in RANKS],
        "offset": [random(4) for _ in RANKS],
        "mask": [random(count, rank).detach() for count, rank in zip(counts, RANKS, strict=True)],
    }


@pytest.mark.parametrize("drops", [False, True])
@pytest.mark.parametrize("counts", [(6, 6, 6), (6, 2, 5)])
def test_each_run_gets_its_own_update(counts: tuple[int, ...], drops: bool) -> None:
    draw = torch.Generator().manual_seed(1)
    weight = torch.randn(4, 5, generator=draw, dtype=torch.float64)
    bias = torch.randn(4, generator=draw, dtype=torch.float64)
    own, together = parts(counts), parts(counts)

    plain = []
    for k, x in enumerate(own["x"]):
        code = x @ own["down"][k].t() + own["shift"][k]
        if drops:
            code = code * own["mask"][k]
        plain.append(x @ weight.t() + bias + code @ own["up"][k].t() + own["offset"][k])
    sum(out.square().sum() for out in plain).backward()  # type: ignore[union-attr]

    rank = max(RANKS)
    mask = [torch.nn.functional.pad(m, [0, rank - m.shape[1]]) for m in together["mask"]]
    out = packed_low_rank_linear(
        torch.cat(together["x"]),
        weight,
        bias,
        stacked(together["down"], rank, -2),
        stacked(together["shift"], rank, -1),
        stacked(together["up"], rank, -1),
        torch.stack(together["offset"]),
        torch.cat(mask) if drops else None,
        counts,
    )
    out.square().sum().backward()

    torch.testing.assert_close(out, torch.cat(plain), rtol=0, atol=1e-12)
    for name in ("x", "down", "shift", "up", "offset"):
        for k, (one, other) in enumerate(zip(together[name], own[name], strict=True)):
            torch.testing.assert_close(one.grad, other.grad, rtol=0, atol=1e-11, msg=f"{name} {k}")


def test_a_small_update_is_not_rounded_away_in_half_precision() -> None:
    """Far below one unit in the last place of the bias, but not of the product beside it."""
    x = torch.full((2, 1), 1.0, dtype=torch.bfloat16)
    weight = torch.full((1, 1), 2.0**-9, dtype=torch.bfloat16)
    down = torch.ones(2, 1, 1, dtype=torch.bfloat16)
    up = torch.full((2, 1, 1), 2.0**-9, dtype=torch.bfloat16)
    nothing = torch.zeros(2, 1, dtype=torch.bfloat16)
    bias = torch.zeros(1)
    out = packed_low_rank_linear(x, weight, bias, down, nothing, up, nothing, None, (1, 1))
    assert out.tolist() == [[2.0**-8]] * 2
