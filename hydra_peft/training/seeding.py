"""One seed for a run, one stream of random numbers for each purpose in it."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import torch


def derive_seed(seed: int, purpose: str) -> int:
    """Return a seed for one purpose of a run, in [0, 2**63).

    Each purpose has a stream of its own, so that drawing more numbers for one (a larger adapter,
    a backbone that was in memory already) leaves the others as they were: two methods with the
    same seed see the same batches and start from the same head.
    """
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, numpy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def generator(seed: int, purpose: str) -> torch.Generator:
    """Return a CPU generator for one purpose of a run."""
    return torch.Generator().manual_seed(derive_seed(seed, purpose))
