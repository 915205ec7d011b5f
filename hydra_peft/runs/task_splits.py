"""The splits of a run's task: read, checked, described, and decoded for its model."""

from __future__ import annotations

from collections.abc import Callable

import torch

from hydra_peft.config.schema import RunConfig
from hydra_peft.data.split import Split
from hydra_peft.data.tokenizer import Encoding
from hydra_peft.runs.assembly import load_data
from hydra_peft.runs.first_look import check_batches, data_request, splits_read, splits_scored


def load_splits(
    config: RunConfig,
    size: tuple[int, int] | None,
    device: torch.device,
    *,
    described: Callable[[dict[str, object]], None],
    encoding: Encoding | None = None,
) -> tuple[Split, dict[str, Split]]:
    """Return the split to train on, in the memory of ``device``, and those to score by name.

    Args:
        config: its protocol names both; the one that counts is scored first.
        size: height and width in pixels of the images that the model takes; None if it takes none.
        described: called with what the record says of the data, before images are decoded.
        encoding: how the model reads texts; None if it takes none.

    Raises:
        UserError: data that is missing, damaged, or not what the yaml promises; or too few
            examples for one batch.
    """
    protocol = config.protocol
    request = data_request(config.dataset, config.paths, splits_read(config))
    scored = splits_scored(config)
    wanted = (protocol.train_split, *scored)
    loaded = load_data(
        config.dataset,
        config.data,
        request,
        size,
        wanted=wanted,
        described=described,
        encoding=encoding,
    )
    train_split = loaded.splits[protocol.train_split]
    train = config.train
    if train.epochs:
        check_batches(
            len(train_split), train.batch_size, train.drop_last, least=config.head.least_batch
        )
    return train_split.in_memory(device), {name: loaded.splits[name] for name in scored}
