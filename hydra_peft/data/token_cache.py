"""Tokenised texts on disk: memory-mapped, named by their content, checked before they are used."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from hydra_peft.data.cache import ELSEWHERE
from hydra_peft.data.split import Ragged, Texts
from hydra_peft.data.tokenizer import Encoding
from hydra_peft.disk_errors import unwritten
from hydra_peft.errors import UserError
from hydra_peft.tensor_files import read_tensors_and_metadata, write_tensors

log = logging.getLogger(__name__)

#: of the file's form and of how texts are encoded: another one makes other files
_SCHEMA = 2
_LENGTHS = "lengths"
_KINDS = {"tokens": torch.int32, "segments": torch.uint8, _LENGTHS: torch.int32}


def tokenized(
    texts: Texts, encoding: Encoding, folder: Path | None, title: str
) -> dict[str, Ragged]:
    """Return the token ids of ``texts``, of an earlier run where the cache has them.

    The key is the content of texts and tokenizer, and the length to which texts are cut: tasks that
    share texts share a file, and changed ones have another.

    Args:
        folder: where caches are; None keeps nothing.
        title: for the log.

    Returns:
        See :meth:`hydra_peft.data.tokenizer.Tokenizer.encode`.

    Raises:
        UserError: the cache cannot be written.
    """
    if folder is None:
        return encoding.tokenizer.encode(texts, encoding.max_length)
    parts = (texts.sha256, encoding.tokenizer.sha256, encoding.max_length, _SCHEMA)
    key = hashlib.sha256(" ".join(map(str, parts)).encode()).hexdigest()[:32]
    path = folder / "texts" / f"{key}.safetensors"
    content = _read(path, len(texts)) if os.path.exists(path) else None
    if content is None:
        log.info("tokenising %s", title)
        content = _content(encoding.tokenizer.encode(texts, encoding.max_length))
        try:
            write_tensors(path, content, {"sha256": _sha256(content, path.stem)})
        except OSError as error:
            elsewhere = f"{ELSEWHERE}, or data.cache=none of train.py"
            raise unwritten(f"the cache of tokens {path}", error, elsewhere) from None
    lengths = content[_LENGTHS].long()
    return {name: Ragged(t, lengths) for name, t in content.items() if name != _LENGTHS}


def _content(encoded: Mapping[str, Ragged]) -> dict[str, Tensor]:
    values = {name: rows.values for name, rows in encoded.items()}
    return {**values, _LENGTHS: encoded["tokens"].lengths.to(torch.int32)}


def _read(path: Path, count: int) -> dict[str, Tensor] | None:
    """Return the content of a cache, None where it is not what was written."""
    try:
        content, metadata = read_tensors_and_metadata(path)
    except UserError:
        log.warning("the cache of tokens %s cannot be read: it is made anew", path)
        return None
    lengths = content.get(_LENGTHS)
    right = (
        {"tokens", _LENGTHS} <= content.keys() <= _KINDS.keys()
        and all(tensor.dtype == _KINDS[name] for name, tensor in content.items())
        and lengths is not None
        and lengths.shape == (count,)
        and _sha256(content, path.stem) == metadata.get("sha256")
    )
    if right:
        return content
    log.warning("the cache of tokens %s is damaged: it is made anew", path)
    return None


def _sha256(content: Mapping[str, Tensor], key: str) -> str:
    digest = hashlib.sha256(key.encode())  # a file of other texts in its place has another one
    for _, tensor in sorted(content.items()):
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()
