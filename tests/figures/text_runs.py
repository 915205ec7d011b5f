"""Run folders of the embedded text encoder, made up without training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fabricated_models import put_model

#: of the record of one that read texts
_READ: dict[str, Any] = {
    "data": {"sha256": "a" * 64, "splits": {"test": "c" * 64}},
    "inputs": {"max_length": 128, "tokenizer": "a" * 64},
}


def put_text_model(compose: Callable[..., Any], folder: Path, *overrides: str) -> Path:
    """Write a completed hydra run on texts with ``overrides``; return its folder."""
    pytest.importorskip("transformers", reason="text encoders need transformers: hydra-peft[text]")
    words = ("model=roberta_mini", "dataset=mini_glue/entail", "method=hydra_glue")
    small = ("dataset.splits.further=[]", "~dataset.sizes.verbs")
    return put_model(compose, folder, *words, *small, *overrides, **_READ)
