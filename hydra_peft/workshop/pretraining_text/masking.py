"""Batches of masked texts: what the model reads, and what it is to guess."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hydra_peft.workshop.pretraining_text.tokenizing import MASK, PAD, SPECIAL

#: batches' worth of texts that are sorted by length together
_SORTED = 50
_LEFT, _REPLACED = 0.1, 0.1


class Masked(NamedTuple):
    """A batch of texts.

    Attributes:
        ids: int64 ``[b, t]`` with some tokens hidden.
        there: bool ``[b, t]``: false where a text is filled up.
        hidden: bool ``[b, t]``: which are to be guessed.
        targets: int64 ``[hidden]``: their ids.
    """

    ids: Tensor
    there: Tensor
    hidden: Tensor
    targets: Tensor


def batches(
    texts: Sequence[np.ndarray], size: int, draw: np.random.RandomState
) -> Iterator[Tensor]:
    """Yield all texts once, in a random order, those of a batch of about the same length.

    Args:
        texts: token ids of each.
        size: texts in a batch; the last of a stretch may have fewer.
        draw: of the order.

    Yields:
        int64 ``[b, t]``, filled up with the padding's id.
    """
    order = draw.permutation(len(texts))
    lengths = np.array([len(text) for text in texts])
    together: list[np.ndarray] = []
    for start in range(0, len(order), size * _SORTED):
        rows = order[start : start + size * _SORTED]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        together += [rows[at : at + size] for at in range(0, len(rows), size)]
    for place in draw.permutation(len(together)):
        rows = together[place]
        ids = np.full((len(rows), int(lengths[rows].max())), PAD, dtype=np.int64)
        for row, text in zip(ids, rows, strict=True):
            row[: lengths[text]] = texts[text]
        yield torch.from_numpy(ids)


def masked(ids: Tensor, share: float, vocabulary: int, draw: torch.Generator) -> Masked:
    """Hide a share of the tokens of ``ids``, int64 ``[b, t]``.

    Of those that are to be guessed eight tenths become the mask's token, one tenth a random one,
    and one tenth stay (Devlin et al., arXiv 1810.04805); special tokens are never among them.
    """
    there = ids != PAD
    hidden = (torch.rand(ids.shape, generator=draw) < share) & (ids >= len(SPECIAL))
    hidden[0, 1] = True  # one at least, so that there is a loss: no text begins with two specials
    targets = ids[hidden]
    fate = torch.rand(targets.shape, generator=draw)
    random = torch.randint(len(SPECIAL), vocabulary, targets.shape, generator=draw)
    shown = torch.where(fate < _REPLACED, random, torch.full_like(targets, MASK))
    shown = torch.where(fate >= 1.0 - _LEFT, targets, shown)
    ids = ids.clone()
    ids[hidden] = shown
    return Masked(ids, there, hidden, targets)
