"""RoBERTa (Liu et al., arXiv 1907.11692)."""

from __future__ import annotations

from typing import Any, ClassVar

from hydra_peft.backbones.text_encoder import TextEncoder, checkpoint_filter_fn

__all__ = ["BACKBONE", "checkpoint_filter_fn"]


class Roberta(TextEncoder):
    """RoBERTa's encoder: in the shape of ``conf/model/roberta_base.yaml`` 124,055,040 parameters.

    Arguments are keys of config.json, with transformers' own values where nothing is said; with
    what they say of dropout it is trained.
    """

    family: ClassVar[str] = "roberta"

    def __init__(
        self,
        *,
        vocab_size: int = 50265,
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
        pad_token_id: int = 1,
        pooling: str = "first",
    ) -> None:
        shape = {k: v for k, v in locals().items() if k not in ("self", "pooling", "__class__")}
        super().__init__(pooling, **shape)

    def _positions(self, config: Any) -> int:
        # They are counted from behind the padding's id, which is itself that of padding.
        return int(config.max_position_embeddings - config.pad_token_id - 1)


BACKBONE = Roberta
