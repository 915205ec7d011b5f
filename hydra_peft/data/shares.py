"""Splitting labelled examples by shares: every class alike, and by content rather than by chance.

No torch is loaded.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence

from hydra_peft.data.promises import too_few
from hydra_peft.errors import UserError

#: the parts of a split, in the order of their shares
PARTS = ("train", "val", "test")
#: what ``dataset.split`` is
SHARES = "the shares of train, val and test, which add up to 1, such as [0.8,0.1,0.1]"


def check_shares(shares: Sequence[float]) -> None:
    """Check the shares of train, val and test.

    Raises:
        UserError: they are not three, do not add up to 1, or leave nothing to train on.
    """
    right = len(shares) == len(PARTS) and all(share >= 0 for share in shares)
    if not right or abs(sum(shares) - 1) > 1e-6 or shares[0] == 0:
        raise UserError(f"dataset.split={list(shares)} is not allowed: it must be {SHARES}.")


def wanted_shares(shares: Sequence[float], given: Sequence[str]) -> dict[str, float]:
    """Return the share of what is there that each part takes that is not ``given`` by itself.

    Args:
        shares: of train, val and test, where nothing is given.
        given: parts that are there already, ``train`` (what is shared out) among them.
    """
    apart = {n: s for n, s in zip(PARTS, shares, strict=True) if n == "train" or n not in given}
    return {name: share / sum(apart.values()) for name, share in apart.items() if share}


def allot(count: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Return how many of ``count`` examples of a class each part takes.

    What is rounded off stays in train; of a class that has enough, every part has one example, and
    of a smaller one train has the first and test the second.
    """
    order = [name for name in ("train", "test", "val") if name in shares]
    least = {name: int(place < count) for place, name in enumerate(order)}
    taken = {name: max(least[name], round(count * shares[name])) for name in order[1:]}
    # Small classes: 0.5 + 0.5 of one example must not take two.
    for name in reversed(order[1:]):
        over = sum(taken.values()) + least["train"] - count
        taken[name] -= min(max(over, 0), taken[name])
    return {"train": count - sum(taken.values()), **taken}


def by_content(
    labels: Sequence[int], contents: Sequence[bytes], shares: Mapping[str, float], seed: int
) -> dict[str, list[int]]:
    """Return the positions of the examples of each part, in order.

    An example's place is drawn from the hash of its content: renamed, moved or listed in another
    order it is in the same part, and copies of one image stand side by side.

    Args:
        labels: class of each example.
        contents: sha256 of each.
        shares: of each part, see :func:`wanted_shares`.
        seed: another one gives another split.
    """
    classes: dict[int, list[int]] = defaultdict(list)
    for row, label in enumerate(labels):
        classes[label].append(row)
    parts: dict[str, list[int]] = {name: [] for name in shares}
    for rows in classes.values():
        drawn = sorted(rows, key=lambda row: (_salted(contents[row], seed), row))
        start = 0
        for name, count in allot(len(rows), shares).items():
            parts[name] += drawn[start : start + count]
            start += count
    return {name: sorted(rows) for name, rows in parts.items()}


def draw(labels: Sequence[int], contents: Sequence[bytes], *, count: int, seed: int) -> list[int]:
    """Return the positions of ``count`` examples, in order, each class in proportion.

    Every class has one at least where ``count`` suffices; places are drawn as by
    :func:`by_content`, so that fewer of them are among those of more.
    """
    classes: dict[int, list[int]] = defaultdict(list)
    for row in sorted(range(len(labels)), key=lambda row: (_salted(contents[row], seed), row)):
        classes[labels[row]].append(row)
    # Each example's place within its class, as a share: the first of each class come first.
    ranked = sorted(
        (place / len(rows), _salted(contents[row], seed), row)
        for rows in classes.values()
        for place, row in enumerate(rows)
    )
    return sorted(row for _, _, row in ranked[:count])


def draw_each(
    labels: Sequence[int], contents: Sequence[bytes], *, shots: int, seed: int
) -> list[int]:
    """Return the positions of ``shots`` examples a class, in order.

    Raises:
        UserError: a class has fewer.
    """
    classes: dict[int, list[int]] = defaultdict(list)
    for row in sorted(range(len(labels)), key=lambda row: (_salted(contents[row], seed), row)):
        classes[labels[row]].append(row)
    for label, rows in sorted(classes.items()):
        if len(rows) < shots:
            raise too_few(shots, label, len(rows))
    return sorted(row for rows in classes.values() for row in rows[:shots])


def _salted(content: bytes, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:".encode() + content).digest()
