"""Image files that can be decoded: found out once for each content, and remembered."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import PIL
import torch
from torch import Tensor
from tqdm import tqdm

from hydra_peft.data.decoding import TRANSFORM, Encoded, in_threads, read_image
from hydra_peft.data.overlap import rows
from hydra_peft.errors import UserError
from hydra_peft.tensor_files import read_tensors_and_metadata, write_tensors

log = logging.getLogger(__name__)

#: another decoder may refuse what this one reads
_DECODER = f"{TRANSFORM}, pillow {PIL.__version__}"


def check_decodable(files: Sequence[Encoded], hashes: Tensor, memory: Path, title: str) -> None:
    """Check that every image can be decoded; those whose content has been are not decoded again.

    Args:
        files: the images.
        hashes: sha256 of each, uint8 ``[n, 32]``.
        memory: safetensors file that remembers the contents that can be decoded. One that cannot
            be read or written costs time, nothing else.
        title: for the progress bar.

    Raises:
        UserError: one cannot be decoded; the message names it.
    """
    contents = rows(hashes)
    known = _recall(memory)
    missing = [row for row, content in enumerate(contents) if content not in known]
    if not missing:
        return
    found = []
    work = in_threads(lambda row: read_image(files[row]) is not None, missing)
    try:
        for row, _ in tqdm(work, f"checking {title}", len(missing), leave=False, disable=None):
            found.append(contents[row])
    finally:
        # Kept also where one is unreadable, or someone loses patience: the rest is done once.
        remember(memory, known.intersection(contents).union(found))


def remember(memory: Path, contents: Iterable[bytes]) -> None:
    """Remember in ``memory`` that ``contents``, sha256 hashes, can be decoded, and no others."""
    known = b"".join(sorted(set(contents)))
    tensor = torch.tensor(list(known), dtype=torch.uint8).view(-1, 32)
    try:
        write_tensors(memory, {"decodable": tensor}, {"decoder": _DECODER})
    except OSError as error:
        log.warning("cannot remember checked images in %s: %s", memory, error.strerror)


def _recall(memory: Path) -> set[bytes]:
    if not os.path.isfile(memory):  # nor where the folder is another user's
        return set()
    try:
        kept, metadata = read_tensors_and_metadata(memory)
    except UserError:
        return set()
    tensor = kept.get("decodable")
    right = (
        metadata.get("decoder") == _DECODER
        and tensor is not None
        and tensor.dtype == torch.uint8
        and tensor.shape[1:] == (32,)
    )
    return set(rows(tensor)) if right and tensor is not None else set()
