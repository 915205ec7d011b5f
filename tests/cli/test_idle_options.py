"""Options of a method that count, or do not beside its others."""

from __future__ import annotations

import pytest

from hydra_peft.cli.idle_options import counts, counts_if
from hydra_peft.methods import Method, method_class


def made(name: str, **options: object) -> Method:
    return method_class(name)(**options)


@pytest.mark.parametrize(
    ("method", "option", "typed", "said"),
    [
        (
            made("hydra", rank=8, rank_parallel=1, rank_sequential=2),
            *("rank", ["method.rank_parallel"]),
            "it counts without method.rank_parallel: take that out",
        ),
        (
            made("hydra", rank=8, rank_parallel=1, rank_sequential=2),
            *("rank", []),
            "it counts with method.rank_parallel=null: add that",
        ),
        (made("noah", population=20), "population", [], "counts with method.search=evolution: add"),
        (made("noah", space=[1, 5]), "space", [], "it counts with method.search=evolution: add"),
    ],
)
def test_what_does_not_count_and_what_would_let_it(
    method: Method, option: str, typed: list[str], said: str
) -> None:
    assert not counts(method, option)
    assert said in counts_if(method, option, typed)


@pytest.mark.parametrize(
    ("method", "option"),
    [
        (made("hydra", rank_parallel=1, rank_sequential=2), "rank_sequential"),
        (made("hydra", rank=8, rank_parallel=1), "rank"),
        (made("noah", population=20, search="evolution"), "population"),
        # Another word for the usual one.
        (made("adapter_plus", position="pfeiffer"), "position"),
        (made("adapter_plus", position="post"), "position"),
        (made("lora", targets=["mlp.fc2", "attn.proj"]), "targets"),
        (made("lora", targets=["attn.proj", "mlp.fc2", "attn.proj"]), "targets"),
        (made("kadaptation", parts=["v", "q"]), "parts"),
        (made("noah", search="evolution", space=[10, 5, 1]), "space"),
        (made("noah", adapter_widths=[5] * 6), "adapter_widths"),
        (made("branches", parallel_options={"rank": 4}), "parallel_options"),
        (made("lora", rank=8), "rank"),
        (made("lora", rank=8), "no_such_option"),
    ],
)
def test_what_counts(method: Method, option: str) -> None:
    assert counts(method, option)
