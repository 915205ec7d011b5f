"""Some images of the split that a run was scored on, to try an exported model with."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import Tensor

from hydra_peft.data.feeding import prepare_split
from hydra_peft.data.split import Images, Split
from hydra_peft.errors import UserError
from hydra_peft.export.source import Source
from hydra_peft.quoting import unquoted
from hydra_peft.runs.rebuild import load_scored

#: how many, evenly over the split
_MOST = 32

log = logging.getLogger("hydra_peft")


@unquoted()
def scored_images(source: Source, *, data: str | None, cache: Path) -> Tensor | None:
    """Return images of the split that counts for the run, uint8 ``[n, 3, height, width]``.

    None where they are not on this machine, or are not those of the record; a warning says why.

    Args:
        data: folder of prepared data, where it has moved since; None takes the recorded.
        cache: where generated images are kept on this machine.
    """
    run, split = source.run, source.run.record.split
    try:
        splits = load_scored(run.folder, run.record, run.config, [split], cache=cache, data=data)
        return _some(splits[split], source)
    except UserError as error:
        log.warning(
            "the export was compared on random images alone: those of %s cannot be used (%s)",
            split,
            str(error).rstrip("."),
        )
        return None


def _some(split: Split, source: Source) -> Tensor:
    """Return evenly spaced images of ``split`` as the run saw them."""
    images = split.inputs["image"]
    count = min(_MOST, len(split.targets))
    rows = [index * len(split.targets) // count for index in range(count)]
    if isinstance(images, Images):
        part = Split({"image": images.part(rows, "some")}, split.targets[torch.tensor(rows)])
        images = prepare_split(
            part, size=source.size, cache=None, title="images", crop=source.crop
        ).inputs["image"]
        rows = list(range(count))
    return torch.cat([images[row : row + 1] for row in rows])  # type: ignore[index, misc]
