"""RoBERTa (Liu et al., arXiv 1907.11692)."""

from __future__ import annotations

from typing import Any, ClassVar

from hydra_peft.backbones.text_encoder import TextEncoder, checkpoint_filter_fn

__all__ = ["BACKBONE", "checkpoint_filter_fn"]


class Roberta(TextEncoder):
    """RoBERTa's encoder without its pooler: 124,055,040 parameters in roberta-base's shape."""

    family: ClassVar[str] = "roberta"

    def __init__(self, *, vocab_size: int = 50265, pad_token_id: int = 1, **shape: Any) -> None:
        super().__init__(vocab_size=vocab_size, pad_token_id=pad_token_id, **shape)

    def _positions(self, config: Any) -> int:
        # They are counted from behind the padding's id, which is itself that of padding.
        return int(config.max_position_embeddings - config.pad_token_id - 1)


BACKBONE = Roberta
