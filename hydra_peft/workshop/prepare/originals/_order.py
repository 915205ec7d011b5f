"""The order in which tensorflow/datasets (TFDS) keeps examples, without TensorFlow.

Each example's key is hashed as md5(salt + key) and examples are sorted by the hash as a 128-bit
integer; the salt is the split's name. Slices such as ``train[:800]`` count in this order
(tensorflow/datasets, ``core/hashing.py`` and ``core/tfrecords_writer.py``).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

from hydra_peft.errors import UserError
from hydra_peft.workshop.prepare.originals._base import Key, OfEachClass, Piece, Pool, Whole

#: VTAB-1k's sizes; None takes the whole slice
LIMITS: Mapping[str, int | None] = {"train800": 800, "val200": 200, "test": None}


def select(
    pools: Mapping[str, Pool],
    slices: Mapping[str, Piece],
    limits: Mapping[str, int | None] = LIMITS,
) -> dict[str, list[int]]:
    """Return for each split the indices into its pool, in the order of their hashes.

    Those of a whole pool are in its own order.

    Args:
        pools: pools by name.
        slices: what each split is made of, by its name.
        limits: most examples of each split that is a slice.
    """
    orders = {
        name: hashed_order(pools[name].keys, salt=name)
        for name in {piece.pool for piece in slices.values() if not isinstance(piece, Whole)}
    }
    chosen = {}
    for split, piece in slices.items():
        if isinstance(piece, Whole):
            chosen[split] = list(range(len(pools[piece.pool].keys)))
        elif isinstance(piece, OfEachClass):
            chosen[split] = _of_each_class(pools[piece.pool], orders[piece.pool], piece)
        else:
            order = orders[piece.pool]
            first, end = piece.bounds(len(order), limits[split])
            chosen[split] = order[first:end]
    return chosen


def _of_each_class(pool: Pool, order: Sequence[int], piece: OfEachClass) -> list[int]:
    sizes = Counter(pool.labels.tolist())
    seen: Counter[int] = Counter()
    chosen = []
    for index in order:
        label = int(pool.labels[index])
        if seen[label] in piece.bounds(sizes[label]):
            chosen.append(index)
        seen[label] += 1
    return chosen


def hashed_order(keys: Sequence[Key], salt: str) -> list[int]:
    """Return the indices of ``keys`` in TFDS order.

    Args:
        keys: strings are hashed as UTF-8 with backslashes turned to slashes, bytes as they are,
            integers as their decimal digits.
        salt: the split's name: ``train``, ``validation`` or ``test``.

    Raises:
        UserError: two examples have one key.
    """
    start = hashlib.md5(salt.encode(), usedforsecurity=False)

    def digest(key: Key) -> bytes:
        state = start.copy()
        state.update(_key_bytes(key))
        return state.digest()

    # Equal lengths: bytes compare as the big-endian integers that they are.
    digests = [digest(key) for key in keys]
    order = sorted(range(len(keys)), key=digests.__getitem__)
    for before, after in pairwise(order):
        if digests[before] == digests[after]:
            raise UserError(
                f"two examples of split '{salt}' have the key {keys[before]!r}: the source holds "
                "one of them twice."
            )
    return order


def _key_bytes(key: Key) -> bytes:
    if isinstance(key, bytes):
        return key
    if isinstance(key, str):
        return key.replace("\\", "/").encode()
    return str(key).encode()
