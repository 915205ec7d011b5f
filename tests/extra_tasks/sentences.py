"""A source outside the package: sentences of token ids, each with the share of small ids in it."""

from __future__ import annotations

import torch

from hydra_peft.data.promises import LabelRange, SeenLabels
from hydra_peft.data.sources import DataRequest
from hydra_peft.data.split import Ragged, Split
from hydra_peft.data.task_data import TaskData

SIZES = {"train800": 80, "val200": 48, "train": 128, "test": 64}


def labels_of(request: DataRequest) -> SeenLabels:
    """Return how many sentences there are."""
    return SeenLabels({name: LabelRange(SIZES[name]) for name in request.splits}, "generated")


def load(request: DataRequest) -> TaskData:
    """Return sentences of 3 to 12 tokens, drawn from a fixed seed."""
    draw = torch.Generator().manual_seed(3)
    total = SIZES["train"] + SIZES["test"]
    lengths = torch.randint(3, 13, (total,), generator=draw)
    tokens = Ragged(torch.randint(1, 30, (int(lengths.sum()),), generator=draw), lengths)
    ids, mask = tokens.padded(99)
    scores = (ids < 8).sum(1) / mask.sum(1)
    rows = {
        "train800": slice(80),
        "val200": slice(80, 128),
        "train": slice(128),
        "test": slice(128, None),
    }
    splits = {
        name: Split({"tokens": tokens[rows[name]]}, scores[rows[name]].float())
        for name in request.splits
    }
    return TaskData(splits, "generated")
