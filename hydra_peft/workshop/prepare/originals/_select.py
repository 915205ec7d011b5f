"""Which examples of an original make the splits of a task."""

from __future__ import annotations

from collections.abc import Mapping

from hydra_peft.workshop.prepare.originals._base import Pool, Slice
from hydra_peft.workshop.prepare.originals._order import hashed_order

#: VTAB-1k's sizes; None takes the whole slice
LIMITS: Mapping[str, int | None] = {"train800": 800, "val200": 200, "test": None}


def select(
    pools: Mapping[str, Pool],
    slices: Mapping[str, Slice],
    limits: Mapping[str, int | None] = LIMITS,
) -> dict[str, list[int]]:
    """Return for each split the indices into its pool, in the order of their hashes.

    Args:
        pools: pools by name.
        slices: slice by split name.
        limits: most examples of each split.
    """
    orders = {
        name: hashed_order(pools[name].keys, salt=name)
        for name in {piece.pool for piece in slices.values()}
    }
    chosen = {}
    for split, piece in slices.items():
        order = orders[piece.pool]
        first, end = piece.bounds(len(order), limits[split])
        chosen[split] = order[first:end]
    return chosen
