"""Arrays on disk that are made once, and made again when the file is not what was written."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from hydra_peft.disk_errors import unwritten
from hydra_peft.errors import UserError
from hydra_peft.tensor_files import read_tensors_and_metadata, write_tensors

log = logging.getLogger(__name__)

#: how to keep the cache in another folder: scripts differ in the key
ELSEWHERE = "set paths.cache, which is cache=<folder> of other scripts, to another folder"


def cached_arrays(path: Path, make: Callable[[], tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return the images and labels cached in ``path``, made by ``make`` if they are not there.

    A cache that cannot be read, whose content does not have the hash in its header, or that was
    written under another name is made anew with a warning, never used.

    Args:
        path: safetensors file with ``images`` uint8 and ``labels`` int64.
        make: returns both.

    Raises:
        UserError: the cache has to be written and its folder cannot be.
        OSError: the disk takes no more.
    """
    cached = _read(path) if os.path.exists(path) else None
    if cached is not None:
        return cached
    images, labels = make()
    content = {"images": images, "labels": labels}
    try:
        write_tensors(path, content, {"sha256": _content_hash(images, labels), "of": path.stem})
    except OSError as error:
        raise unwritten(f"the image cache {path}", error, ELSEWHERE) from None
    return images, labels


def _read(path: Path) -> tuple[Tensor, Tensor] | None:
    try:
        content, metadata = read_tensors_and_metadata(path)
        images, labels = content["images"], content["labels"]
        right = (images.dtype, labels.dtype) == (torch.uint8, torch.int64)
        right = right and images.ndim == 4 and labels.shape == images.shape[:1]
        # A file of another task that was put in its place is whole, too.
        right = right and metadata.get("of", path.stem) == path.stem
        if right and _content_hash(images, labels) == metadata.get("sha256"):
            return images, labels
        log.warning("the image cache %s is damaged: it is made anew", path)
    except (UserError, KeyError):
        log.warning("the image cache %s cannot be read: it is made anew", path)
    return None


def _content_hash(images: Tensor, labels: Tensor) -> str:
    digest = hashlib.sha256(images.contiguous().numpy().data)
    digest.update(labels.contiguous().numpy().data)
    return digest.hexdigest()
