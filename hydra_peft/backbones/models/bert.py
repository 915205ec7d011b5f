"""BERT (Devlin et al., arXiv 1810.04805)."""

from __future__ import annotations

from typing import Any, ClassVar

from hydra_peft.backbones.text_encoder import TextEncoder, checkpoint_filter_fn

__all__ = ["BACKBONE", "checkpoint_filter_fn"]


class Bert(TextEncoder):
    """BERT's encoder without its pooler, in the shape of bert-base-uncased."""

    family: ClassVar[str] = "bert"

    def __init__(self, *, vocab_size: int = 30522, pad_token_id: int = 0, **shape: Any) -> None:
        super().__init__(vocab_size=vocab_size, pad_token_id=pad_token_id, **shape)


BACKBONE = Bert
