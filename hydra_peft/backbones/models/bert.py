"""BERT (Devlin et al., arXiv 1810.04805)."""

from __future__ import annotations

from typing import ClassVar

from hydra_peft.backbones.text_encoder import TextEncoder, checkpoint_filter_fn

__all__ = ["BACKBONE", "checkpoint_filter_fn"]


class Bert(TextEncoder):
    """BERT's encoder without its pooler.

    Arguments are keys of config.json, with transformers' own values (bert-base-uncased) where
    nothing is said; with what they say of dropout it is trained.
    """

    family: ClassVar[str] = "bert"

    def __init__(
        self,
        *,
        vocab_size: int = 30522,
        hidden_size: int = 768,
        num_hidden_layers: int = 12,
        num_attention_heads: int = 12,
        intermediate_size: int = 3072,
        hidden_act: str = "gelu",
        hidden_dropout_prob: float = 0.1,
        attention_probs_dropout_prob: float = 0.1,
        max_position_embeddings: int = 512,
        type_vocab_size: int = 2,
        layer_norm_eps: float = 1e-12,
        initializer_range: float = 0.02,
        pad_token_id: int = 0,
        pooling: str = "first",
    ) -> None:
        shape = {k: v for k, v in locals().items() if k not in ("self", "pooling", "__class__")}
        super().__init__(pooling, **shape)


BACKBONE = Bert
