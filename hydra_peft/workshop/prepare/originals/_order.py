"""The order in which tensorflow/datasets (TFDS) keeps examples, without TensorFlow.

Each example's key is hashed as md5(salt + key) and examples are sorted by the hash as a 128-bit
integer; the salt is the split's name. Slices such as ``train[:800]`` count in this order
(tensorflow/datasets, ``core/hashing.py`` and ``core/tfrecords_writer.py``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import pairwise

from hydra_peft.errors import UserError
from hydra_peft.workshop.prepare.originals._base import Key


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
