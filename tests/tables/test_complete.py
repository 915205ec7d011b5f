"""The largest block without a hole, against trying all of them."""

from __future__ import annotations

import random
from itertools import chain, combinations

from hydra_peft.tables.complete import complete, largest_block

TASKS = ["a", "b", "c", "d"]


def best_size(rows: list[dict[str, set[int]]], least: int, with_row: int | None) -> tuple[int, int]:
    """Return runs and rows of the best block by looking at every set of tasks."""
    sets = chain.from_iterable(combinations(TASKS, n) for n in range(1, len(TASKS) + 1))
    sizes = [(0, 0)]
    for tasks in sets:
        whole = [
            at
            for at, row in enumerate(rows)
            if any(all(seed in row.get(task, ()) for task in tasks) for seed in range(3))
        ]
        if len(whole) >= least and (with_row is None or with_row in whole):
            sizes.append((len(whole) * len(tasks), len(whole)))
    return max(sizes)


def test_nothing_is_larger() -> None:
    draw = random.Random(5)
    for _ in range(200):
        rows = [
            {t: {s for s in range(3) if draw.random() < 0.5} for t in TASKS if draw.random() < 0.6}
            for _ in range(draw.randrange(1, 6))
        ]
        least, with_row = draw.choice([1, 2]), draw.choice([None, 0])
        found, tasks = largest_block(rows, TASKS, least=least, with_row=with_row)
        assert all(complete(rows[at], tasks) for at in found)
        size = (len(found) * len(tasks), len(found))
        assert size == best_size(rows, least, with_row)
        assert tasks == sorted(tasks)


def test_many_rows_with_holes_take_no_time() -> None:
    draw = random.Random(6)
    tasks = [f"t{number}" for number in range(40)]
    rows = [{t: {0} for t in tasks if draw.random() < 0.7} for _ in range(60)]
    found, kept = largest_block(rows, tasks)
    assert all(complete(rows[at], kept) for at in found)
    assert len(found) * len(kept) >= max(len(row) for row in rows)
