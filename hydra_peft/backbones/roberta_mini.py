"""Shape of the embedded text encoder `roberta_mini`."""

from __future__ import annotations

from typing import Any

ROBERTA_MINI: dict[str, Any] = {
    "vocab_size": 8192,
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 512,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 130,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-5,
    "initializer_range": 0.02,
    "pad_token_id": 1,
}
"""Its config.json but for the family: RoBERTa (arXiv 1907.11692) of 1.5 million parameters, most of
them embeddings, for texts of up to 128 tokens."""
